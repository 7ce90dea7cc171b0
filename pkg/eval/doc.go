// Package eval measures a talker against its teacher, teacher-forced and speaking freely.
//
// Teacher-forced, both read the true past: KL(teacher ‖ model) in nats per frame and the agreement of the best codes, for
// each codebook. Speaking freely, each decodes held-out texts by seeded sampling, with the same seeds: how long it
// speaks compared with the teacher, and how often it fails to end.
package eval
