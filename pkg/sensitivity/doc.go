// Package sensitivity measures what quantizing each layer alone does to what a talker says, and spends a budget of bytes
// accordingly: bits and group size for every layer and embedding table.
//
//	inventory, err := sensitivity.NewInventory(teacher, folder, quant, cfg)   // parts, and the forms that each can have
//	err = study.Measure(ctx, inventory.Parts, table, save, report)            // damage of every form
//	plan, err := inventory.Allocate(table, 1_200_000_000)                     // the best choice that fits
//	fragment := plan.Experiment("mixed", resolved.Values)                     // as TOML
//
// # Damage
//
// The damage of a form is the KL divergence of the end logits from the float teacher's, in nats per frame, when this part alone
// has the form and all others are float: of each codebook, and as their sum. Layers are rounded as calibration rounds them, on
// statistics that were collected once, and compute with the activations that the experiment quantizes; tables as qat.Prepare
// does. A layer's 16 bits are the float layer with float inputs, whose damage is 0.
//
// The teacher runs once, for the statistics and for what a distill.Probe remembers. One layer at a time is swapped into a
// second tree over the same parameters, and out again; where it belongs to the code predictor, only that runs. Where the
// calibration rotates the model, layers are rounded in the rotated one. Scales that move between layers (calib.Config.Fold)
// belong to no single one and are left out: a plan is of the damages without them, also where the run that follows it folds.
//
// # Allocation
//
// [Inventory.Allocate] minimizes the sum of damages, exactly (package bitalloc), among the choices whose model.safetensors is
// no larger than the budget: weights, scales, norms, heads, tables, what is carried over, and the file's header. That damages
// add up is an assumption, a first order one (as in Dong et al. 2019, "HAWQ-V2", §3): what a plan promises is to be measured.
//
// The plan is a list of patterns that an experiment can name, one for all layers of a kind where they agree, such as
// talker.model.layers.*.mlp.down_proj.
package sensitivity
