# reap: see README.md.  `make help` lists the targets.
#
# One library (lib/*/*.c -> libreap.a) and one program per file of cmd/ but
# tool.c (cmd/NAME.c -> bin/reap-NAME).  A new file needs no line here.
# Objects lie in build/VARIANT/, so that sanitizer builds do not disturb others.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
SAN     ?=
B       ?= build/$(or $(SAN),rel)$(if $(filter clang%,$(notdir $(CC))),-clang)
BIN     ?= $(if $(SAN)$(filter clang%,$(notdir $(CC))),$B/bin,bin)
PKG_CONFIG ?= pkg-config

PKGS := msgpack yaml-0.1 jansson libpcre2-8 libb2 libcrypto libisal openblas
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith \
	-Wwrite-strings $(WERROR)
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
SAN_tsan := -fsanitize=thread -O1
# No contraction: kernels at every level must give the same bits (CONTRIBUTING.md).
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -I. $(CFLAGS) $(WARN) \
	-ffp-contract=off -pthread $(SAN_$(SAN)) $(PKG_CFLAGS)
ALL_LDLIBS = $(SAN_$(SAN)) $(LDFLAGS) -pthread $(PKG_LIBS) -lm

PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell $(PKG_CONFIG) --libs $(PKGS)))$(PKG_LIBS)

LIB_SRC   := $(wildcard lib/*/*.c)
TOOL_SRC  := $(filter-out cmd/tool.c,$(wildcard cmd/*.c))
UNIT_SRC  := $(wildcard tests/unit/*.c)
HELP_SRC  := $(wildcard tests/gen/*.c)
TOOLS     := $(TOOL_SRC:cmd/%.c=$(BIN)/reap-%)
UNITS     := $(UNIT_SRC:tests/unit/%.c=$B/unit/%)
GENS      := $(HELP_SRC:tests/gen/%.c=$B/gen/%)
LIB_OBJ   := $(LIB_SRC:%.c=$B/%.o)
LIB       := $B/libreap.a

all: $(TOOLS)

$(TOOLS): $(BIN)/reap-%: $B/cmd/%.o $B/cmd/tool.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(UNITS): $B/unit/%: $B/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(GENS): $B/gen/%: $B/tests/gen/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LDLIBS)

$(LIB): $(LIB_OBJ)
	rm -f $@
	$(AR) rcs $@ $^

# Kernels for one instruction set: only these files may use it; lib/engine picks
# at run time.
$B/lib/engine/%_avx2.o: ALL_CFLAGS += -mavx2 -mfma -mf16c
$B/lib/engine/%_avx512.o: ALL_CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma

$B/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Rebuild everything when the compiler or the flags change.
$B/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(ALL_CFLAGS)' >$@

-include $(shell find $B -name '*.d' 2>/dev/null)

units: $(UNITS) $(GENS)

clean:
	rm -rf build bin

.PHONY: all units clean FORCE
.DELETE_ON_ERROR:
