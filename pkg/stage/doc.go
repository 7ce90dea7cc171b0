// Package stage has the stages of a run, each a function that the example programs compose:
//
//	student    the teacher's weights with fake-quantized projections     <run>/student
//	calibrate  scales from calibration data                              <run>/calibration.safetensors, <run>/calibrated
//	distill    training against the teacher                              <run>/checkpoints, <run>/metrics.jsonl, <run>/distilled
//	convert    the packed checkpoint                                     <run>/packed
//	evaluate   teacher, baselines and student on held-out data           <run>/summary.json
//
// Beside them, damages of single layers and plans of mixed precision: <run>/sensitivity.json, <run>/plan.toml.
//
// A stage reads what the one before left in the run folder and writes its own part whole or not at all, so running them
// one by one gives the same bytes as running them together. <run>/experiment.toml is the resolved experiment; stages of
// one run folder must agree on it.
package stage
