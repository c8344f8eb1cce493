# Two commands do everything: `make demo` and `make test`. They need make and Python 3.11, 3.12 or 3.13.

SUITABLE = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/installed
SYSTEM = $(sort tshark tcpdump libndpi-bin curl mosquitto-clients chromium chromium-driver mmdebstrap lintian xz-utils $(shell sed 's/\#.*//' edge/testbed/apt-packages.txt))
export TLIDS_SHARED ?= ../shared
OFFERED = $(foreach v,3.11 3.12 3.13,$(firstword $(shell for p in python$(v) $(HOME)/.pyenv/versions/$(v).*/bin/python; do \
	$$p -c '' 2>/dev/null && echo $$p; done)))
APART = tests/browser tests/grid tests/edge/testbed tests/test_notebooks.py tests/test_your_own_network.py
MODEL ?= edge/models/testbed
PROCESSES ?= 2
DEMO_EPOCHS = 10
DEMO = $(BIN)/python -m tlids_helpers.notebooks -p epochs $(DEMO_EPOCHS) -p runs_dir runs/demo
RUNS ?= runs
CORE = edge/tlids_edge/flows/core
RING = edge/tlids_edge/capture/tlids-ring
SANITIZED = -std=c11 -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_INPUTS ?= 100000000
WHEELS = x86_64 aarch64
ZIG = build/zig/bin/python

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(READY) ## run the notebooks on the testbed's real flows, then on a stand-in; results and pages under runs/demo (five minutes)
	@echo "at most $(DEMO_EPOCHS) epochs, where the paper has 50: each page says so"
	@$(DEMO) --into runs/demo/testbed -p dataset testbed 01 02 03 05 06
	@$(DEMO) --into runs/demo/stand-in -p dataset nf-ton-iot 01 02 03 04
	@echo "pages: runs/demo/testbed/*.html (real flows), runs/demo/stand-in/*.html (simulated); models and scores: runs/demo/*-s42-*"

test: $(READY) system core ## every test, and every notebook against its stored outputs; PROCESSES=n side by side, 2 by default
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --max-worker-restart 0 tests
	@$(BIN)/python -m pytest --nbval -n $(PROCESSES) --dist loadfile --max-worker-restart 0 notebooks

test-pythons: system ## the quicker tests under each installed Python of 3.11, 3.12 and 3.13, outside .venv (ten minutes each)
	@test -n "$(strip $(OFFERED))" || { echo "expected Python 3.11, 3.12 or 3.13, found none: install one"; exit 1; }
	@for python in $(OFFERED); do \
		venv=build/pythons/$$($$python -c 'import platform; print(platform.python_version())') && \
		$(MAKE) --no-print-directory install VENV=$$venv PYTHON=$$python && \
		$$venv/bin/python -m pytest -q tests $(addprefix --ignore ,$(APART)) || exit 1; \
	done

install: $(READY) ## set up .venv only

lab: $(READY) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

report: $(READY) ## all runs as one page, runs/report.html, that loads nothing from the network; RUNS=FOLDER
	@$(BIN)/python -m tlids_helpers.results --runs-dir "$(RUNS)"

data: $(READY) ## check the datasets on disk (data/README.md says how to get them)
	@$(BIN)/python -m tlids_helpers.data check

real: $(READY) ## 01 to 04 on real NF-BoT-IoT-v2 flows and a real source, beside 100 extra trees (about two hours); TRIAL=1
	@$(BIN)/python tests/bench/real_input.py $(if $(TRIAL),--trial)

transfer: $(READY) ## what transfer is worth: all of docs/transfer.md, on a GPU if JAX has one (five minutes), else on Dask's workers (days); SEEDS=n SCALE=x, or TRIAL=1
	@$(BIN)/python tests/bench/transfer_all.py $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SCALE),--scale $(SCALE)) $(if $(TRIAL),--trial)

notebooks: $(READY) ## run the notebooks with their defaults and store the outputs
	@$(BIN)/python -m tlids_helpers.notebooks --in-place 01 02 03 04 05 06 07 08 09

testbed: $(READY) system ## record the smart home again, two sessions (root, half an hour), and meter it
	@cd edge && ../$(BIN)/python -m testbed record --session 1 --seed 1 --subnet 192.168.7.0/24 -o ../data/testbed
	@cd edge && ../$(BIN)/python -m testbed record --session 2 --seed 2 --subnet 10.20.30.0/24 -o ../data/testbed
	@$(BIN)/python -m tlids_helpers.testbed

second-home: $(READY) system ## record another home again: benign life, then life and attacks (root, 40 minutes), and meter it
	@cd edge && ../$(BIN)/python -m testbed record --home second --session 1 --seed 1 --minutes 16 --no-attacks -o ../data/second-home
	@cd edge && ../$(BIN)/python -m testbed record --home second --session 2 --seed 2 --minutes 22 -o ../data/second-home
	@$(BIN)/python -m tlids_helpers.testbed flows --home second-home

testbed-model: $(READY) ## train on the first session, and leave edge/models/testbed
	@$(BIN)/python -m tlids_helpers.testbed model

audit: $(READY) ## the checks of notebooks 08 and 09 as Markdown, and into docs/results/audit.json where it has these rows: DATASET="testbed" ROWS=n EPOCHS=n (0: no CNN) RECIPES="paper improved" CROSS=yes for several
	@$(BIN)/python tests/bench/audit_tables.py $(or $(DATASET),testbed) $(if $(CROSS),--cross) $(if $(ROWS),--rows $(ROWS)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(RECIPES),--recipes $(RECIPES))

mqttset: $(READY) ## train on MQTTset's train captures, report recall on its test captures
	@$(BIN)/python tests/bench/mqttset_recall.py

adapt-homes: $(READY) ## the shipped model before and after it has learned a home, into docs/results/adapt.json and edge/MEASURED.md
	@$(BIN)/python tests/bench/adapt_homes.py

choose-recipe: $(READY) ## how a head should learn a home, on homes that judge nothing, into docs/results/adapt-choice.json and edge/MEASURED.md
	@$(BIN)/python tests/bench/choose_recipe.py

testbed-rows: $(READY) ## rows.npz of the shipped model, without training it again
	@$(BIN)/python -m tlids_helpers.testbed rows

docs: $(READY) ## write the figures of README.md and docs/ from docs/results/, and draw the picture
	@$(BIN)/python tests/bench/docs_pages.py

bench: $(READY) system ## run every benchmark and write docs/benchmarks.md; PARTS="training grid" for some
	@$(BIN)/python tests/bench/run_all.py $(PARTS)

bench-edge: $(READY) system ## meter and model beside pyshark and nfstream, as ratios; then the whole process
	@$(BIN)/python tests/bench/bench_edge.py --model $(MODEL)
	@$(BIN)/python tests/bench/bench_process.py --model $(MODEL) --store "make bench-edge"
	@$(BIN)/python tests/bench/bench_flood.py --model $(MODEL) --store "make bench-edge"
	@$(BIN)/python tests/bench/bench_line_rate.py --model $(MODEL) --store "make bench-edge"
	@$(BIN)/python tests/bench/cost_before.py --model $(MODEL) --store "make bench-edge"

attack: $(READY) system ## attacks on the rules and the program, live in namespaces, into docs/results/attack.json (root, five to eight minutes); then make docs
	@$(BIN)/python tests/bench/attack_results.py

fuzz-edge: $(READY) ## ten million damaged captures through packets and meter (about twenty minutes)
	@$(BIN)/python tests/bench/fuzz_packets.py --inputs 10000000 --seed 1 --store "make fuzz-edge"

core: $(READY) $(CORE)/meter.so $(RING) ## the compiled meter and the capture program, beside their sources; skipped without a C compiler

$(CORE)/meter.so $(RING) &: $(CORE)/meter.c $(CORE)/meter.h edge/tlids_edge/capture/ring.c edge/setup.py
	@cd edge && $(abspath $(BIN))/python setup.py -q build_ext --inplace && rm -rf build

equal-core: core ## both meters over every shared capture, the testbed, floods and disorder, cut in every way (an hour)
	@$(BIN)/python tests/bench/equal_core.py

fuzz-core: ## the compiled meter under address and undefined-behaviour sanitizers; FUZZ_INPUTS=n (100 million: half an hour)
	@mkdir -p build && $(CC) $(SANITIZED) -o build/fuzz-core $(CORE)/fuzz.c $(CORE)/meter.c && build/fuzz-core $(FUZZ_INPUTS)

$(ZIG): # a C compiler for every machine, from PyPI; made beside and renamed
	@rm -rf build/zig.new && $(PYTHON) -m venv build/zig.new && \
		build/zig.new/bin/python -m pip install -q --disable-pip-version-check ziglang==0.17.1 setuptools==84.2.1 && \
		rm -rf build/zig && mv build/zig.new build/zig

wheels: $(READY) $(ZIG) ## dist/*.whl of tlids-edge for x86-64 and aarch64, built by zig from PyPI
	@for machine in $(WHEELS); do \
		zig="$(abspath $(ZIG)) -m ziglang cc -target $$machine-linux-gnu.2.28" && rm -rf build/wheel && cp -r edge build/wheel && \
		rm -f build/wheel/tlids_edge/flows/core/meter.so build/wheel/tlids_edge/capture/tlids-ring && (cd build/wheel && CC="$$zig" LDSHARED="$$zig -shared" _PYTHON_HOST_PLATFORM=linux-$$machine \
		../zig/bin/python setup.py -q bdist_wheel --plat-name manylinux_2_28_$$machine -d $(abspath dist)) || exit 1; \
	done; ls dist

test-arm: $(READY) $(ZIG) core ## meter and detector under aarch64 emulation give x86-64's verdicts; CAPTURE=FILE MODEL=DIR CPU=cortex-a76
	@$(BIN)/python tests/edge/arm/check_arm.py $(if $(CAPTURE),--capture "$(CAPTURE)") $(if $(MODEL),--model "$(MODEL)") $(if $(CPU),--cpu $(CPU))

count-arm: $(READY) $(ZIG) ## instructions a packet and a flow on an emulated Cortex-A53, into docs/results/count-arm.json (ten minutes)
	@PYTHONPATH=$(if $(PYTHONPATH),$(PYTHONPATH):)tests/edge $(BIN)/python tests/edge/arm/count_arm.py

deb: $(READY) $(ZIG) ## the Debian packages for a Raspberry Pi (arm64) and for amd64, into dist/
	@$(BIN)/python edge/package/build_deb.py arm64
	@$(BIN)/python edge/package/build_deb.py amd64

test-pi: $(READY) $(ZIG) ## the package on an emulated Pi with systemd: installed, attacked, cut off, purged (root, under an hour)
	@for tool in mmdebstrap arch-test qemu-system-aarch64:qemu-system-arm qemu-aarch64-static:qemu-user-static; do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; test -z "$$missing" || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing binfmt-support >/dev/null; }
	@PYTHONPATH=$(if $(PYTHONPATH),$(PYTHONPATH):)tests/edge nice -n 5 $(BIN)/python tests/edge/pi/check_pi.py $(if $(ONLY),--only $(ONLY))
	@$(BIN)/python tests/bench/docs_pages.py

test-slurm: $(READY) ## the Slurm snippet of docs/grid.md on a Slurm of this machine alone: two jobs, one cancelled in a run (root, about ten minutes)
	@dpkg -s slurm-wlm munge >/dev/null 2>&1 || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null; }
	@PYTHONPATH=$(if $(PYTHONPATH),$(PYTHONPATH):)tests/grid $(BIN)/python tests/grid/check_slurm.py

lint: $(READY) ## ruff, over modules and notebooks; file sizes; notebooks run in order
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python tests/guards/before_commit.py

system: ## the system packages that some tests need; without root those tests are skipped
	@if dpkg -s $(SYSTEM) >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $(SYSTEM) (mosquitto and openssh-server bring services: disable those you do not want)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM) >/dev/null; \
	else echo "tests that need $(SYSTEM) will be skipped: install them as root"; fi

lock: ## compile requirements.lock from pyproject.toml, and with digests the Pi's from edge/pyproject.toml (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-header -o requirements.lock
	echo 'setuptools>=77' | uv pip compile edge/pyproject.toml - --extra mqtt -c requirements.lock --python-version 3.11 \
		--python-platform aarch64-manylinux_2_28 --generate-hashes --no-header --no-annotate -o edge/requirements-pi.lock

clean: ## remove the virtual environments and all caches, but no dataset and no run
	rm -rf .venv build/pythons data/prepared data/simulated .pytest_cache .ruff_cache .hypothesis

$(READY): requirements.lock pyproject.toml edge/pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11, 3.12 or 3.13, found none: install one, or run make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) and the pinned versions (one to three minutes)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./edge
	@touch $@
