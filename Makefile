# One Makefile for the whole tree.  Every variant builds in its own folder:
#   make                  release, in build/release
#   make VARIANT=asan     AddressSanitizer + UBSan, in build/asan    (also tsan, cover, fuzz)
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.0.0)
VARIANT ?= release
B       := build/$(VARIANT)
PREFIX  ?= /usr/local
# V=1 shows the commands.
Q       := $(if $(V),,@)

IS_CLANG  := $(shell $(CC) --version 2>/dev/null | grep clang)
# clang before 16 has the flag only behind another one that says not to use it.
AUTO_INIT := $(if $(IS_CLANG),,-ftrivial-auto-var-init=zero)
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
             -fcf-protection $(AUTO_INIT)
CFLAGS_release := -O2 $(HARDENING)
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Of clang only.
CFLAGS_fuzz    := $(CFLAGS_asan) -fsanitize=fuzzer-no-link
CFLAGS_tsan    := -O1 -fsanitize=thread
CFLAGS_cover   := -O0 --coverage
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wwrite-strings -Wformat=2 -Werror=format-security -Wvla -Wcast-qual \
            -Wimplicit-fallthrough $(if $(CI),-Werror)

# What gcc forgives the macros of librdkafka and uthash, and clang does not.
WARNINGS += $(if $(IS_CLANG),-Wno-implicit-fallthrough -Wno-gnu-statement-expression \
              -Wno-pointer-to-int-cast -Wno-cast-qual)

ALL_CFLAGS   = -std=c17 -g -fPIC $(WARNINGS) $(CFLAGS_$(VARIANT)) $(CFLAGS)
ALL_CPPFLAGS = -D_GNU_SOURCE -include internal/base/banned.h $(CPPFLAGS)
ALL_LDFLAGS  = $(if $(filter release,$(VARIANT)),-pie) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
# pkg/ sees only itself; internal/ and cmd/ see internal/ in quotes and pkg/ in angles.
PG_INCLUDE  := -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)
PATHS_pkg   := -Ipkg
PATHS_inner := -Ipkg -iquote internal $(PG_INCLUDE)

# ---- what is built -----------------------------------------------------------
LIBS        := -lrdkafka -lpq -lmicrohttpd -ljansson -lcurl -lcrypto -lz -lpthread -lm
PROGRAMS    := $(patsubst cmd/%/main.c,%,$(wildcard cmd/*/main.c))
# cmd/tally/ builds "tally", the others "tally-NAME".
BINARIES    := $(patsubst tally-tally,tally,$(PROGRAMS:%=tally-%))
PKG_OBJS    := $(patsubst %.c,$(B)/%.o,$(wildcard pkg/*/*.c))
INNER_OBJS  := $(patsubst %.c,$(B)/%.o,$(wildcard internal/*/*.c))
SOURCES     := $(wildcard pkg/*/*.[ch] internal/*/*.[ch] cmd/*/*.[ch])
HEADERS     := $(filter %.h,$(SOURCES))
# Headers of the library that are its own affair.
INNER_HEADERS := $(addprefix pkg/tally/,consume.h lookback.h message_out.h rules.h seen.h)
PUBLIC      := $(filter-out $(INNER_HEADERS),$(wildcard pkg/tally/*.h))
TEST_SUPPORT := $(patsubst %.c,$(B)/%.o,$(wildcard test/support/*.c))
UNIT        := $(patsubst test/unit/%.c,$(B)/test/unit/%,$(wildcard test/unit/*.c))
INTEGRATION := $(patsubst test/integration/%.c,$(B)/test/integration/%,$(wildcard test/integration/*.c))
BENCH       := $(patsubst test/bench/%.c,$(B)/test/bench/%,$(wildcard test/bench/*.c))
# The targets, and what they share.
FUZZERS     := $(filter-out common replay,$(patsubst test/fuzz/%.c,%,$(wildcard test/fuzz/*.c)))
MEMORY      := $(filter-out $(B)/test/memory/failing,$(patsubst test/memory/%.c,$(B)/test/memory/%,$(wildcard test/memory/*.c)))
RACE        := $(patsubst test/race/%.c,$(B)/test/race/%,$(wildcard test/race/*.c))
FORMATTED   := $(SOURCES) $(wildcard pkg/*/examples/*.c test/*/*.[ch])

.PHONY: all
all: $(BINARIES:%=$(B)/bin/%) $(B)/lib/libtally.a $(B)/lib/libtally.so ## Build the programs and the library

$(B)/lib/libtally.a: $(PKG_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/lib/libtally.so: $(PKG_OBJS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libtally.so.1 -Wl,-z,relro,-z,now -o $@ $^ -lrdkafka -ljansson -lcrypto

$(B)/lib/libinternal.a: $(INNER_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

.SECONDEXPANSION:
percent := %
$(B)/bin/tally-%: $$(patsubst $$(percent).c,$(B)/$$(percent).o,$$(wildcard cmd/$$*/*.c)) \
                  $(B)/lib/libinternal.a $(B)/lib/libtally.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

$(B)/bin/tally: $(patsubst %.c,$(B)/%.o,$(wildcard cmd/tally/*.c)) $(B)/lib/libinternal.a $(B)/lib/libtally.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

$(B)/pkg/%.o: PATHS = $(PATHS_pkg)
$(B)/%.o: PATHS = $(PATHS_inner)
$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(PATHS) $(ALL_CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<
# It carries these files inside.
$(B)/internal/gateway/documents.o: $(wildcard api/*.json api/docs/*)
$(B)/internal/base/version.o: EXTRA = -DTALLY_VERSION='"$(VERSION)"'
$(B)/internal/base/version.o: $(B)/version

# Changes only when the flags do, and then everything is built again.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS)' > $@
$(B)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
# Phony, or .SECONDARY above takes it for a file that need not be there, and nothing is forced.
.PHONY: FORCE
FORCE:

# ---- tests -------------------------------------------------------------------
$(B)/test/%: $(B)/test/%.o $(TEST_SUPPORT) $(B)/lib/libinternal.a $(B)/lib/libtally.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(if $(findstring /race/,$@)$(findstring /bench/,$@),,-lcriterion) $(LIBS)
$(B)/test/%.o: PATHS = $(PATHS_inner) -iquote test

# libFuzzer has a main of its own.
FUZZ_MAIN = $(if $(filter fuzz,$(VARIANT)),-fsanitize=fuzzer,$(B)/test/fuzz/replay.o)
$(B)/test/fuzz/%: $(B)/test/fuzz/%.o $(B)/test/fuzz/common.o $(B)/test/fuzz/replay.o $(TEST_SUPPORT) \
                  $(B)/lib/libinternal.a $(B)/lib/libtally.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(FUZZ_MAIN) $(filter-out %/replay.o,$(filter %.o,$^)) \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

# What our objects allocate goes through test/memory/failing.c.
ALLOCATORS := malloc calloc realloc reallocarray aligned_alloc strdup strndup asprintf vasprintf
$(B)/test/memory/%: $(B)/test/memory/%.o $(B)/test/memory/failing.o $(TEST_SUPPORT) \
                    $(B)/lib/libinternal.a $(B)/lib/libtally.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(ALLOCATORS:%=-Wl,--wrap=%) -o $@ $(filter %.o,$^) \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lcriterion $(LIBS)

# Private services for the length of a command; and one recursion's worth of parallel jobs.
SERVICES     := deploy/dev/with-services --postgres --kafka
TSAN_OPTIONS := halt_on_error=1:second_deadlock_stack=1$(patsubst %,:suppressions=%,$(wildcard test/race/suppressions))
JOBS          = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: test test-rdkafka-latest clang unit integration e2e race asan tsan bench bench-long bench-jobs bench-profile \
        bench-micro bench-growth bench-overload bench-backlog bench-clickhouse bench-rollups \
        chaos chaos-rolling chaos-leaving
.PHONY: memory replay fuzz fuzz-each
# The plan of faults of every make test; make chaos draws one of its own.
TEST_SEED := 2026
# One after the other: they measure time, and their output is for reading.  A make of its own for
# each, because what is installed first changes what this Makefile finds.
test: ## Everything that CI runs: installs what is missing, builds, checks, tests
	deploy/dev/packages test
	@set -e; for target in all clang check unit asan tsan integration e2e chaos; do \
		echo "==== $$target, $$(date +%T)"; SEED=$${SEED:-$(TEST_SEED)} $(MAKE) $(JOBS) CI=1 $$target; done
# The library in build/librdkafka in place of the system's.
LATEST := C_INCLUDE_PATH=$(abspath build/librdkafka/include) LIBRARY_PATH=$(abspath build/librdkafka/lib) \
          LD_LIBRARY_PATH=$(abspath build/librdkafka/lib)
test-rdkafka-latest: ## The same tests with a current librdkafka, built from source
	deploy/dev/packages test
	deploy/dev/packages rdkafka
	deploy/dev/librdkafka build/librdkafka
	@set -e; for target in unit integration e2e; do \
		echo "==== $$target"; env $(LATEST) $(MAKE) $(JOBS) B=build/rdkafka-latest $$target; done
clang: ## Build everything with clang
	$(MAKE) CC=clang-14 B=build/clang all
unit: $(UNIT) ## Run the unit tests (no network)
	test/run-criterion $(B) $^
integration: all $(INTEGRATION) ## Run the integration tests (real PostgreSQL, real Kafka, mock Kafka)
	$(SERVICES) -- test/run-criterion $(B) $(INTEGRATION)
race: $(RACE)
	@set -e; for t in $^; do echo "== $$t"; TSAN_OPTIONS=$(TSAN_OPTIONS) $$t; done
# $(call ready,PACKAGES,FILES): a make of its own builds, as in test.
define ready
	deploy/dev/packages $(1)
	@$(MAKE) $(JOBS) --no-print-directory all $(2)
endef
VENV := build/venv/.complete
bench: ## Measure Tally beside going direct (real Kafka and PostgreSQL); prints, judges nothing
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/compare.py
bench-long: ## Ask at a constant rate for BENCH_SECONDS=600 and print latency, growth of memory and lag
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/long.py
bench-jobs: ## Submit BENCH_RATE=2000 jobs a second, poll them, and print how the recorder keeps up
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/jobs.py
bench-backlog: ## Queue BENCH_JOBS=100000 jobs, and print how they are worked off and what callers of rows notice
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/backlog.py
bench-profile: ## Print where the time and CPU of a request go, hop by hop
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/hops.py
bench-micro: ## Count the instructions of the hot functions
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/micro.py
bench-growth: ## Measure what a request costs as data, answers, partitions and processes grow; draws deploy/growth.svg
	$(call ready,bench,$(BENCH) $(VENV))
	@BENCH_BUILD=$(B) build/venv/bin/python test/bench/growth.py
bench-overload: ## Ask three times as much as the workers can do, and print what is answered, refused, and how soon it is over
	$(call ready,bench,$(BENCH))
	@BENCH_BUILD=$(B) python3 test/bench/overload.py
bench-clickhouse: ## Print what Tally does with db2 in PostgreSQL and in ClickHouse; judges nothing
	$(call ready,bench,$(VENV))
	@BENCH_BUILD=$(B) build/venv/bin/python test/bench/clickhouse.py
bench-rollups: ## Print what rollups bring, on both kinds of database; judges nothing
	$(call ready,bench,$(VENV))
	@BENCH_BUILD=$(B) build/venv/bin/python test/bench/rollups.py
CHAOS := $(VENV) build/toxiproxy/server $(B)/test/chaos/clock.so
chaos: ## Kill, freeze and cut everything under load for MINUTES=5 and judge all answers; SEED=n repeats
	$(call ready,chaos,$(CHAOS))
	@TALLY_BIN=$(abspath $(B)/bin) build/venv/bin/python test/chaos/chaos.py
chaos-rolling: ## Restart everything in turn ROUNDS=50 times under load behind haproxy; no request may fail
	$(call ready,chaos,$(CHAOS))
	@TALLY_BIN=$(abspath $(B)/bin) build/venv/bin/python test/chaos/rolling.py
chaos-leaving: ## Compare ANSWERS=1000000 by value while clients give up at random
	$(call ready,chaos,$(CHAOS))
	@TALLY_BIN=$(abspath $(B)/bin) build/venv/bin/python test/chaos/leaving.py
$(B)/test/chaos/clock.so: test/chaos/clock.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 -D_GNU_SOURCE -O2 -fPIC -shared $(WARNINGS) -o $@ $< -ldl
build/toxiproxy/server:
	GOBIN=$(abspath $(@D)) go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
asan: ## Unit tests, short memory and the fuzzers' corpus under ASan and UBSan; a leak fails
	$(MAKE) VARIANT=asan unit memory replay
memory: $(MEMORY)
	test/run-criterion $(B) $^
replay: $(FUZZERS:%=$(B)/test/fuzz/%)
	@set -e; for name in $(FUZZERS); do $(B)/test/fuzz/$$name test/fuzz/corpus/$$name; done
fuzz: ## Fuzz each target for FUZZ_SECONDS=60; FUZZ=NAME: only that one
	deploy/dev/packages fuzz
	$(MAKE) $(JOBS) CC=clang-14 VARIANT=fuzz fuzz-each
fuzz-each: $(if $(FUZZ),$(FUZZ:%=$(B)/test/fuzz/%),$(FUZZERS:%=$(B)/test/fuzz/%))
	@test/fuzz/run $(or $(FUZZ_SECONDS),60) $^
tsan: ## Race tests under ThreadSanitizer
	$(MAKE) VARIANT=tsan race
# Loaded into workers by tests (test/e2e/poison.c).
$(B)/test/e2e/poison.so: test/e2e/poison.c $(B)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(PG_INCLUDE) $(ALL_CFLAGS) -shared -o $@ $< -ldl
e2e: all $(B)/test/e2e/poison.so $(VENV) $(B)/test/chaos/clock.so ## Test the programs from outside (real PostgreSQL, real Kafka)
	TALLY_BIN=$(abspath $(B)/bin) $(SERVICES) -- build/venv/bin/pytest -q test/e2e test/contract test/chaos
$(VENV): test/e2e/requirements.txt test/e2e/requirements-alone.txt
	rm -rf build/venv
	python3 -m venv build/venv
	build/venv/bin/pip install -q --disable-pip-version-check -r $<
	build/venv/bin/pip install -q --disable-pip-version-check --no-deps -r test/e2e/requirements-alone.txt
	@touch $@

# Functions whose parameters a library dictates (MHD_AccessHandlerCallback has eight).
FOREIGN_SHAPES := internal/http/server.c:on_call

# ---- style as tests ----------------------------------------------------------
.PHONY: check check-layers check-headers check-shape check-vendored format format-check
check: check-layers check-headers check-shape check-vendored check-bench format-check ## Layers, headers, shape, formatting
check-layers: ## Every include points down internal/LAYERS
	$(Q)awk -f test/style/layers.awk internal/LAYERS $(SOURCES)
check-headers: $(HEADERS:%=$(B)/%.alone) ## Every header compiles by itself
check-shape: ## Function, file and line lengths, documented prototypes
	$(Q)python3 test/style/cstyle.py --check fn=60,file=500,branch=15,nest=3,params=6,width=100 \
	    $(FOREIGN_SHAPES:%=--allow %) pkg internal cmd
	$(Q)python3 test/style/cstyle.py --deps . >/dev/null # fails on a cycle
check-vendored: ## What is not ours is what it was
	$(Q)cd api/docs && sha256sum --quiet -c SHA256SUMS
check-bench: $(BENCH) ## The benchmarks, which no test runs, can be built
format: ## Format every C file
	$(Q)clang-format-19 -i $(FORMATTED)
format-check: ## Fail when a C file is not formatted
	$(Q)clang-format-19 --dry-run --Werror $(FORMATTED)
$(B)/%.h.alone: %.h
	@mkdir -p $(@D)
	@$(CC) $(ALL_CPPFLAGS) $(PATHS_inner) -std=c17 $(WARNINGS) -Wno-pedantic -fsyntax-only -x c $< && touch $@

# ---- run and install ---------------------------------------------------------
.PHONY: run run-kafka install-packages install uninstall
run: ## Run Tally here, with demo data; KAFKA=HOST:PORT takes that Kafka, TALLY_LISTEN that port
	deploy/dev/packages run
	$(MAKE) $(JOBS) all
	@deploy/dev/run
run-kafka: ## The same with a real Kafka of its own (needs Java)
	deploy/dev/packages kafka
	$(MAKE) $(JOBS) all
	@KAFKA=real deploy/dev/run
install-packages: ## Install the Debian packages for building, running and testing
	deploy/dev/packages test

DEST := $(DESTDIR)$(PREFIX)
install: all ## Install into DESTDIR PREFIX
	install -d $(DEST)/bin $(DEST)/lib/pkgconfig $(DEST)/include/tally $(DEST)/share/tally
	$(if $(BINARIES),install -m 755 $(BINARIES:%=$(B)/bin/%) $(DEST)/bin)
	install -m 644 $(B)/lib/libtally.a $(DEST)/lib
	install -m 755 $(B)/lib/libtally.so $(DEST)/lib/libtally.so.1
	ln -sf libtally.so.1 $(DEST)/lib/libtally.so
	install -m 644 $(PUBLIC) $(DEST)/include/tally
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' pkg/tally/tally.pc.in > $(DEST)/lib/pkgconfig/tally.pc
	@set -e; for folder in deploy/datasets deploy/datasets-rollup migrations; do \
		[ ! -d $$folder ] || cp -R $$folder $(DEST)/share/tally; done
uninstall: ## Remove what install installed
	rm -f $(BINARIES:%=$(DEST)/bin/%) $(DEST)/lib/libtally.a $(DEST)/lib/libtally.so $(DEST)/lib/libtally.so.1
	rm -f $(DEST)/lib/pkgconfig/tally.pc
	rm -rf $(DEST)/include/tally $(DEST)/share/tally

# ---- the rest ----------------------------------------------------------------
.PHONY: clean help
clean: ## Remove build/
	rm -rf build
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{ printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
