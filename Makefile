# make demo   set up, then the main job: from an ONNX file to a verified accelerator (build/digits)
# make test   set up, then lint, types, layers and tests
# make bench  the measured figures
# make bench-gpu  those of an NVIDIA GPU, where one and torch are at hand
# make clean  removes what was built; the virtual environment stays

.POSIX:
.SUFFIXES:
.PHONY: demo test bench bench-gpu clean setup setup-dev

VENV = .venv
RUN = $(VENV)/bin
PIP = $(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS = 2

demo: setup
	$(RUN)/ridgeline build examples/digits/digits.onnx --data examples/digits/test.npz --device ulx3s-85f --synth --out build/digits

test: setup-dev
	$(RUN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN)/pyright
	$(RUN)/lint-imports
	$(RUN)/python -m pytest -n $(JOBS) --dist worksteal

bench: setup-dev
	$(RUN)/python -m bench

bench-gpu: setup-dev
	$(RUN)/python -m bench gpu

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

setup: $(VENV)/ready

setup-dev: $(VENV)/ready-dev

$(VENV)/ready: pyproject.toml constraints.txt
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "missing: a C++ compiler; on Debian or Ubuntu: apt install g++" >&2; exit 2; }
	@old=; venvless=; found=; \
	for python in python3.13 python3.12 python3.11 python3; do \
	  $$python -c 'import sys' >/dev/null 2>&1 || continue; \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { old=$$python; continue; }; \
	  $$python -c 'import ensurepip, venv' >/dev/null 2>&1 || { venvless=$$python; continue; }; \
	  found=$$python; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$venvless" ]; then \
	  echo "missing: $$venvless has no ensurepip or venv; on Debian or Ubuntu: apt install python3-venv" >&2; exit 2; \
	elif [ -z "$$found" ]; then \
	  echo "missing: Python 3.11 or newer$${old:+ ($$old is older)}; on Debian or Ubuntu: apt install python3 python3-venv" >&2; exit 2; \
	fi; \
	$(RUN)/python -c 'import pip' >/dev/null 2>&1 || { echo "set-up: $(VENV) with $$found"; $$found -m venv --clear $(VENV); }
	@echo "set-up: packages, as constraints.txt pins them"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable .
	@echo "set-up: Yosys and nextpnr are compiled for this machine, once"
	@$(RUN)/python -m ridgeline.tools.yowasp
	@echo "set-up: the exploration is compiled for this machine, once"
	@$(RUN)/ridgeline explore examples/digits/digits.onnx --device ulx3s-85f >/dev/null
	@$(RUN)/ridgeline map examples/digits/digits.onnx --chip eyeriss-256 >/dev/null
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	@echo "set-up: packages for the tests"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@
