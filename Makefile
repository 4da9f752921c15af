# reap: see README.md.  `make help` lists the targets.
#
# One library (lib/ -> libreap.a) and one program per file of cmd/ (cmd/NAME.c ->
# bin/reap-NAME), but for tool.c and names with a "_", which are parts of programs.  A new
# file needs no line here.
# Objects lie in build/VARIANT/, so that sanitizer and clang builds do not
# disturb the others.

PREFIX  ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
VARIANT := $(or $(SAN),rel)$(if $(findstring clang,$(notdir $(CC))),-clang)
# Names as short as these mean something else in many an environment.
B       := build/$(VARIANT)
BIN     := $(if $(filter rel,$(VARIANT)),bin,$B/bin)
JOBS    ?= $(shell nproc 2>/dev/null || echo 1)
VERSION := $(shell sed -n 's/^.define REAP_VERSION "\(.*\)"/\1/p' cmd/tool.h)

PKGS    := msgpack yaml-0.1 jansson libpcre2-8 libutf8proc libb2 libcrypto libisal zlib libzstd
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
	-Wwrite-strings $(if $(SAN),,-Wframe-larger-than=16384) # a stack may have 128 KiB
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CFLAGS  ?= $(if $(SAN),-O1,-O2) -g
# No contraction: kernels of every level must give the same bits (CONTRIBUTING.md).
# No path of this machine in the debug information: every folder builds the same bytes.
# A shell says which folder this is, wherever that is wanted: its name may hold anything.
BASE_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -I. $(CPPFLAGS) $(CFLAGS) $(WARN) \
	-ffp-contract=off -pthread "-ffile-prefix-map=$$PWD=." $(SAN_$(SAN)) $(PKG_CFLAGS)
ISA     =
LINK    = $(CC) $(BASE_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(filter %.o,$^) $(filter-out $(LIB),$(filter %.a,$^)) $(LIB) $(PKG_LIBS) -lm
# Asked for once, and only when something is compiled (`make deps` needs no library).
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

LIB_SRC := $(wildcard lib/*/*.c lib/*/*/*.c)
# Kernels for x86-64 stay out of a library for another machine.  A compiler that is
# still missing (`make deps` installs it) is no error here.
ifeq ($(findstring x86_64,$(shell $(CC) -dumpmachine 2>/dev/null)),)
LIB_SRC := $(filter-out $(wildcard lib/engine/*_avx*.c lib/engine/*_amx.c),$(LIB_SRC))
endif
LIB     := $B/libreap.a
SHARED  := cmd/tool.c $(wildcard cmd/*_*.c)
TOOLS   := $(patsubst cmd/%.c,$(BIN)/reap-%,$(filter-out $(SHARED),$(wildcard cmd/*.c)))
UNITS   := $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/*.c))
GENS    := $(patsubst tests/gen/%.c,$B/gen/%,$(wildcard tests/gen/*.c))
FAULTS  := $B/faults/inject.so
HOST_GPU := $B/host-gpu.so
FUZZ    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
# The longest first, so that no core waits for the last.
LONG    := $(addprefix tests/,$(addsuffix .bats,pipeline oracle safety evaluate catalogue gpu route families gate \
	slow/first_time slow/real_shape slow/resume slow/recipes))
longest_first = $(filter $1,$(LONG)) $(filter-out $(LONG),$1)
BATS    := $(call longest_first,$(wildcard tests/*.bats))
MAN     := $(wildcard man/*.[157])

# For targets that build first: on all cores, unless make was told otherwise.  Only this make has
# jobs, because tests run make, too.
BUILD    = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

##   all (default)  build the tools into bin/ (SAN=..., CC=clang: into build/VARIANT/bin/)
all: tools
	$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,@echo "the tools are in $(BIN)/")

tools: $(TOOLS)

# An archive, so that each tool takes only what it needs.
$B/cmd/tool.a: $(SHARED:%.c=$B/%.o)
	rm -f $@
	$(AR) rcs $@ $^

$(TOOLS): $(BIN)/reap-%: $B/cmd/%.o $B/cmd/tool.a $(LIB)
	@mkdir -p $(@D)
	$(LINK)

$(UNITS) $(GENS): $B/%: $B/tests/%.o $(LIB)
	@mkdir -p $(@D)
	$(LINK)

# The parts of a large one.
$B/gen/random_checkpoint: $(patsubst %.c,$B/%.o,$(wildcard tests/gen/checkpoint/*.c))
$B/gen/bench_engine: $B/tests/gen/rate/peak.o $B/tests/gen/rate/pass.o
$B/gen/scale: $B/tests/gen/rate/pass.o
$B/gen/ends: $B/cmd/route.o $B/cmd/tool.a
$B/gen/ends: LDFLAGS += -Wl,--wrap=reap_pool_run -Wl,--wrap=reap_gemm_run
$B/gen/bench_engine: LDFLAGS += -Wl,--wrap=reap_pool_run

# Files that are part of the programs, as strings named after them (lib/base/embedded.h).
EMBED   := lib/text/table.py lib/text/template.py recipes/near_lossless_gates.json

$(LIB): $(LIB_SRC:%.c=$B/%.o) $B/embedded.o
	rm -f $@
	$(AR) rcs $@ $^

# Kernels for one instruction set: only these files may use it, lib/engine picks
# at run time.
$B/lib/engine/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$B/lib/engine/%_avxvnni.o: ISA = -mavx2 -mfma -mf16c -mavxvnni
$B/lib/engine/%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma
$B/lib/engine/kernels_amx.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma
$B/lib/engine/gemm_bf16_amx.o $B/lib/engine/attend_bf16x2_amx.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mamx-tile -mamx-bf16
$B/lib/engine/%_avx512bf16.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx2 -mfma
$B/lib/engine/%_avx512vnni.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx2 -mfma
$B/cmd/tool.o: ISA = -DREAP_FLAGS='"$(strip $(CFLAGS) $(SAN_$(SAN)))"'

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(ISA) -MMD -MP -c -o $@ $<

$B/embedded.o: $B/embedded.c $B/flags
	$(CC) $(BASE_CFLAGS) -c -o $@ $<

$B/embedded.c: $(EMBED) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "lib/base/embedded.h"'; for f in $(EMBED); do \
		echo "const char reap_$$(basename $$f | tr . _)[] ="; \
		sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $$f; echo ';'; done; } >$@

# Rebuild everything when the compiler or the flags change.
$B/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(BASE_CFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(BASE_CFLAGS)' >$@

-include $(shell find $B -name '*.d' 2>/dev/null)

##   deps           install the Debian packages that are missing (as root or with sudo)
deps:
	@sh tests/deps.sh

##   demo           prune the embedded model, evaluate it, print the verdict
demo: deps
	@echo "building (a minute or two)" && $(BUILD) -s tools
	@$(MAKE) --no-print-directory -C pipelines demo

# ---- a GPU ----

NVCC    ?= $(or $(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc),nvcc)
# One object for Turing and Ampere, Ada, Hopper; later ones take the last as PTX.
GPUS    ?= 75 80 86 89 90
CUDA_SO := $(BIN)/lib/reap-cuda.so

##   cuda           what runs on an NVIDIA GPU, with nvcc: bin/lib/reap-cuda.so (GPUS="80 90": for these)
cuda: $(CUDA_SO)

$(CUDA_SO): $(wildcard lib/cuda/*) lib/model/weight.h
	@mkdir -p $(@D)
	$(NVCC) -std=c++17 -O3 -I. -Xcompiler -fPIC,-fvisibility=hidden,-Wall -shared -cudart static \
		$(foreach g,$(GPUS),-gencode arch=compute_$g,code=sm_$g) \
		-gencode arch=compute_$(lastword $(GPUS)),code=compute_$(lastword $(GPUS)) \
		-o $@ lib/cuda/reap_cuda.cu -lcublasLt

# The best product that cuBLAS has, for tests/gpu/run.
$B/gpu-peak: tests/gpu/peak.cu
	@mkdir -p $(@D)
	$(NVCC) -std=c++17 -O2 -cudart static -o $@ $< -lcublasLt

# ---- tests ----
# prove runs the C unit tests, the fuzz replays and the bats files, which all
# print TAP.  SAN=asan or CC=clang test that build.
TEST_ENV = REAP_BIN="$$PWD/$(BIN)" REAP_BUILD="$$PWD/$B" ASAN_OPTIONS=abort_on_error=0 \
	UBSAN_OPTIONS=print_stacktrace=1
PROVE    = $(TEST_ENV) prove -j$(JOBS) --timer --failures --comments -e ''

##   test           run all tests (SAN=asan|tsan, CC=clang: of that build)
test: deps
	@$(BUILD) tools units
	@$(PROVE) $(BATS) $(UNITS) $(FUZZ:%=$B/fuzz/replay_%)

##   test-slow      tests that take minutes: launchers, real shapes, thousands of interruptions
test-slow:
	@sh tests/deps.sh slurm-wlm
	@$(BUILD) tools units
	@$(PROVE) $(call longest_first,$(wildcard tests/slow/*.bats))

##   test-odd       pipelines, built and installed in a folder with blanks, quotes and $
test-odd:
	@tests/odd/run

##   test-stress    pipelines: kills, edits, exchanged weights, shared work (REAP_SEED=N repeats)
test-stress: tools units
	@$(PROVE) tests/stress/*.bats

##   test-resume    resume from every byte, and after many more kills than in test-slow
test-resume: tools units
	@REAP_RESUME_SHARE=1 $(PROVE) tests/slow/resume.bats

##   test-faults    every tool with each call of memory, files and threads failing (minutes)
test-faults: tools units
	@$(TEST_ENV) tests/faults/run -v

##   test-tables    Parquet and Arrow by every program that reads them (needs PyPI)
test-tables: tools
	@[ -x build/tables/bin/duckdb ] || { python3 -m venv build/tables && \
		build/tables/bin/pip install -q pyarrow duckdb duckdb-cli; }
	@REAP_VENV='$(abspath build/tables)' $(PROVE) tests/loaders/tables.bats

##   test-loaders   load the embedded model with the Python clients (needs PyPI)
test-loaders: tools units test-tables
	@$(TEST_ENV) tests/loaders/run

units: $(UNITS) $(GENS) $(FAULTS) $(HOST_GPU) $(FUZZ:%=$B/fuzz/replay_%)

# Preloaded into the tools under test; without the sanitizers, which have a malloc, too.
$(FAULTS): tests/faults/inject.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g $(WARN) -fPIC -shared -pthread -o $@ $<

# What the tools open in place of a GPU in tests: its kernels for the host (lib/cuda/port.h).
$(HOST_GPU): $(wildcard lib/cuda/*) lib/model/weight.h lib/base/clock.h
	@mkdir -p $(@D)
	$(CC) -x c -std=gnu11 -O3 -g -I. $(WARN) -ffp-contract=off -fvisibility=hidden -fPIC -shared -o $@ \
		lib/cuda/reap_cuda.cu -lm

# A fuzz target with a main that runs it over its corpus.
$(FUZZ:%=$B/fuzz/replay_%): $B/fuzz/replay_%: $B/tests/fuzz/fuzz_%.o $B/tests/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(LINK)

##   fuzz           FUZZ_TARGET=stream FUZZ_SECONDS=600: fuzz with clang's libFuzzer
fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=fuzz build/fuzz-clang/fuzz_$(FUZZ_TARGET)
	@mkdir -p build/fuzz-clang/corpus/$(FUZZ_TARGET)
	build/fuzz-clang/fuzz_$(FUZZ_TARGET) -max_total_time=$(or $(FUZZ_SECONDS),600) -rss_limit_mb=4096 \
		-timeout=20 build/fuzz-clang/corpus/$(FUZZ_TARGET) tests/fuzz/corpus/$(FUZZ_TARGET)

$B/fuzz_%: $B/tests/fuzz/fuzz_%.o $(LIB)
	$(LINK) -fsanitize=fuzzer

##   coverage       whether the gate's intervals hold, for units of many kinds
coverage: tools units
	@$(TEST_ENV) tests/coverage/run

##   bench          measure speed and memory, one figure a line
bench: tools units
	@$(TEST_ENV) tests/bench/run

##   bench-scale    predict the forward pass on up to 128 cores from its tasks on one
bench-scale: tools units
	@$(TEST_ENV) tests/bench/scale

##   lint           static checks: clang-format, cppcheck, shellcheck, mandoc, headers, names; nvcc if it is there
lint: tools
	@sh tests/deps.sh clang-format cppcheck
	@CC='$(CC)' NVCC='$(NVCC)' LIB='$(LIB)' sh tests/lint.sh

# Where things go, below PREFIX; install and uninstall both use these.
TO      = $(DESTDIR)$(PREFIX)
# As a word of the shell, whatever it holds.
D       = '$(subst ','\'',$(TO))'
COMP    = share/bash-completion/completions
ZSH     = share/zsh/site-functions
FISH    = share/fish/vendor_completions.d
COMPLETED = $(notdir $(TOOLS)) reap-run
MANS    = $(addprefix share/man/man,$(sort $(subst .,,$(suffix $(MAN)))))

##   install        into PREFIX (/usr/local), below DESTDIR
install: tools
	@install -d $(foreach d,bin share/reap/recipes share/reap/pipelines/card share/reap/pipelines/report $(COMP) $(ZSH) $(FISH) $(MANS),$D/$d)
	@install -m 755 $(TOOLS) $D/bin
	@! [ -e $(CUDA_SO) ] || { install -d $D/lib/reap && install -m 755 $(CUDA_SO) $D/lib/reap; }
	@for m in $(MAN); do install -m 644 $$m $D/share/man/man$${m##*.} || exit 1; done
	@install -m 644 $(wildcard recipes/*) $D/share/reap/recipes
	@for f in $(filter-out %/Makefile %/card %/report,$(wildcard pipelines/*)) $(wildcard pipelines/*/*); do \
		install -m $$([ -x $$f ] && echo 755 || echo 644) $$f $D/share/reap/$$f || exit 1; done
	@ln -sfn ../share/reap/pipelines/reap-run $D/bin/reap-run
	@install -m 644 cmd/completion/_reap $D/$(ZSH)
	@for t in $(COMPLETED); do install -m 644 cmd/completion/reap.bash $D/$(COMP)/$$t && \
		install -m 644 cmd/completion/reap.fish $D/$(FISH)/$$t.fish || exit 1; done

##   uninstall      remove what install put there, and the folders that are empty then
# The prefix of a system keeps its bin and share.
uninstall:
	@! [ -d $D ] || { cd $D && \
	rm -f $(TOOLS:$(BIN)/%=bin/%) bin/reap-run $(ZSH)/_reap $(COMPLETED:%=$(COMP)/%) $(COMPLETED:%=$(FISH)/%.fish) && \
	rm -f $(foreach m,$(MAN),share/man/man$(subst .,,$(suffix $m))/$(notdir $m)) lib/reap/reap-cuda.so && rm -rf share/reap && \
	for d in $(MANS) $(COMP) $(ZSH) $(FISH) lib/reap $(if $(filter /usr /usr/local,$(TO)),,bin); do \
		! [ -d $$d ] || rmdir --ignore-fail-on-non-empty $(if $(filter /usr /usr/local,$(TO)),,-p) $$d || exit 1; \
	done; $(if $(filter /usr /usr/local,$(TO)),,rmdir --ignore-fail-on-non-empty $D;) }

##   dist           dist/reap-VERSION.tar.gz
dist:
	@mkdir -p dist
	git archive --prefix=reap-$(VERSION)/ -o dist/reap-$(VERSION).tar.gz HEAD

##   clean          remove what was built
clean:
	rm -rf build bin dist

##   help           this list
help:
	@echo 'make targets:'
	@sed -n 's/^##//p' Makefile
	@echo 'recipes:         make -C pipelines list'

.PHONY: all tools cuda deps demo test test-built test-slow test-odd test-stress test-resume test-faults test-tables test-loaders units fuzz coverage bench bench-scale lint install uninstall \
	dist clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:
