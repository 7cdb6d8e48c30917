# Every target does its own set-up: it makes .venv and installs what constraints.txt pins.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test long check coverage clean-room docs eval variants alarms soak reliability bench peers gpu format clean

demo: $(INSTALLED)  ## render a scene, learn it, watch it; DEMO_ARGS="--no-serve" exits at the end
	$(BIN)/streamwatch demo $(DEMO_ARGS)

TWO_AT_ONCE := --numprocesses 2 --dist loadscope --no-loadscope-reorder
test: $(INSTALLED)  ## all tests but the long ones: first what shares the cores, then what plays in real time, then what measures time; TEST_ARGS goes to all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone and not paced and not long" $(TWO_AT_ONCE) $(TEST_ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "paced and not long" $(TWO_AT_ONCE) $(TEST_ARGS)
	$(BIN)/python -m pytest -m "alone and not long" $(TEST_ARGS)

long: $(INSTALLED)  ## the tests that take minutes each: pages in a browser, a fuzzed API, real footage, a cluster that loses a node, the documents' commands
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "long and not paced" $(TWO_AT_ONCE) $(TEST_ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "long and paced" $(TWO_AT_ONCE) $(TEST_ARGS)

coverage: $(INSTALLED)  ## what of the code the tests run that share the cores; fails below the floor in pyproject.toml
	rm -rf build/coverage && mkdir -p build/coverage
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -m "not alone and not paced" $(TWO_AT_ONCE) $(TEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

check: $(INSTALLED)  ## style, types and the layers of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

PED2 := build/ped2-stc
eval: $(INSTALLED) $(PED2)  ## evaluate on the labelled footage beside the project; writes build/, docs/accuracy.md and benchmarks/accuracy.json
	$(BIN)/streamwatch evaluate shanghaitech $(PED2) --report build/appearance --weights untrained
	$(BIN)/streamwatch evaluate shanghaitech $(PED2) --report build/both --weights untrained --features both
	$(BIN)/streamwatch evaluate shanghaitech $(PED2) --report build/ablation --weights untrained --ablate
	cp build/ablation/ablation.md docs/accuracy.md
	printf '\nWhat was tried for weights that ship, with figures: [0030](decisions/0030-no-trained-backbone-yet.md).\n' >> docs/accuracy.md
	$(BIN)/python -m benchmarks.accuracy build/appearance build/both

variants: $(INSTALLED) $(PED2)  ## the method beside its variants, on the labelled footage beside the project; writes docs/variants.md and docs/variants.json
	$(BIN)/streamwatch evaluate shanghaitech $(PED2) --report build/variants --weights untrained --variants --train-frames 640 --every 8
	cp build/variants/variants.md build/variants/variants.json docs/

soak: $(INSTALLED)  ## 30 minutes of random faults on 16 simulated cameras, then 20 kills in mid-event and 200 of a sender, and a real Prometheus that sees faults; SOAK_ARGS="--minutes 5"
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)
	$(BIN)/python -m benchmarks.crashes
	$(BIN)/python -m benchmarks.sender_kills
	$(BIN)/python -m benchmarks.monitoring

clean-room: $(INSTALLED)  ## README and docs/ from their first line in a new Debian, without root; itself it needs root, debootstrap, a network
	$(BIN)/python -m tools.clean_room $(CLEAN_ROOM_ARGS)

reliability: $(INSTALLED)  ## every fault on 1 and on 8 cameras; writes docs/reliability.md
	$(BIN)/python -m benchmarks.fault_matrix --out docs/reliability.md

docs: $(INSTALLED)  ## write the pages that are made from the code: configuration, metrics, messages
	$(BIN)/python -m tools.documentation

alarms: $(INSTALLED) $(PED2)  ## alarms on real footage, against labels and promised against realised; writes docs/alarms.md
	$(BIN)/python -m benchmarks.alarms --out docs/alarms.md

$(PED2):
	mkdir -p build && tar -xJf ../shared/data/ped2-stc.tar.xz -C build

bench: $(INSTALLED) $(PED2)  ## what this machine scores, live and offline, beside its bare network; questions to the event store, at 10,000 and at a million events; two processes that share a database
	$(BIN)/python -m benchmarks.performance
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.shared_database
	$(BIN)/python -m benchmarks.fleets
	$(BIN)/python -m benchmarks.cluster
	$(BIN)/python -m benchmarks.workers $(PED2)/training/videos

PEERS := build/peers
peers: $(INSTALLED) $(PEERS)/.installed  ## streamwatch beside Anomalib's PaDiM, the same pictures in turn in one run; PEERS_ARGS="--rounds 3"
	$(BIN)/python -m benchmarks.peers $(PEERS)/bin/python $(PEERS_ARGS)

gpu: $(INSTALLED)  ## on a machine with a GPU, under 8 minutes: the tests that take one, how precisions agree, and what it scores; GPU_ARGS="--seconds 3"
	FAIL_WITHOUT_CUDA=1 $(BIN)/python -m pytest -k cuda -m "not paced"
	$(BIN)/python -m benchmarks.gpu $(GPU_ARGS)

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(PEERS)/.installed: benchmarks/peers-requirements.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers-requirements.txt
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "streamwatch needs Python 3.11 or newer; say which with: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# A machine without libGL (a container, say) takes the same OpenCV without its windows.
	$(BIN)/python -c 'import cv2' 2>/dev/null || { $(BIN)/python -m pip uninstall --quiet --yes opencv-python && \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt opencv-python-headless; }
	touch $@
