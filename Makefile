# Builds, installs, shows and tests mod_kohomai. All that is made lands in build/; only `install` writes
# elsewhere. `make` needs what `t/install-packages.sh build` installs; `make run` and `make test` see to it themselves.

SHELL      := /bin/bash
BUILD      ?= build
APXS       ?= $(firstword $(shell command -v apxs apxs2 2>/dev/null))
PKG_CONFIG ?= pkg-config
WARNINGS   := -std=gnu11 -Wall -Wextra -Werror
LIBRARIES  := libcurl libcjson
comma      := ,

# These goals install their packages first and then call make again, or need no compiler at all.
LATE_GOALS := run test sanitize memcheck soak bench fuzz fuzz-coverage lint format clean
ifneq ($(filter-out $(LATE_GOALS),$(or $(MAKECMDGOALS),all)),)
  ifeq ($(APXS),)
    $(error apxs was not found: run t/install-packages.sh build)
  endif
  ifneq ($(shell $(PKG_CONFIG) --exists $(LIBRARIES) && echo yes),yes)
    $(error The headers of $(LIBRARIES) were not found: run t/install-packages.sh build)
  endif
  ifeq ($(origin CC),default)
    CC := $(shell $(APXS) -q CC)
  endif
  # apxs joins several answers with ";;".
  APXS_FLAGS := $(subst ;;, ,$(shell $(APXS) -q CFLAGS CPPFLAGS EXTRA_CPPFLAGS EXTRA_CFLAGS))
  APXS_DIRS  := $(subst ;;, ,$(shell $(APXS) -q INCLUDEDIR APR_INCLUDEDIR APU_INCLUDEDIR))
  INCLUDES   := -Isrc $(addprefix -isystem ,$(sort $(APXS_DIRS))) $(shell $(PKG_CONFIG) --cflags $(LIBRARIES))
  LIBS       := $(shell $(PKG_CONFIG) --libs $(LIBRARIES))
endif

MODULE  := $(BUILD)/mod_kohomai.so
SOURCES := mod_kohomai.c $(sort $(wildcard src/*.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
COMPILE  = $(CC) $(APXS_FLAGS) $(WARNINGS) -fPIC -fvisibility=hidden -pthread $(INCLUDES) $(CFLAGS) $(SANITIZERS) -MMD -MP
# httpd resolves its own symbols at load time, so -z defs cannot be asked for; everything is bound at once instead.
LINK     = $(CC) -shared -pthread -Wl,-z,relro -Wl,-z,now -Wl,--as-needed $(SANITIZERS) $(LDFLAGS)

# Short lines; `make V=1` shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' $1 $2 &&)

.PHONY: all install run test check soak bench engine-tests sanitize memcheck unit-tests lint lint-sources format clean FORCE
.PHONY: fuzz fuzz-targets fuzz-coverage replays
.DELETE_ON_ERROR:

all: $(MODULE)

$(MODULE): $(OBJECTS)
	$(call say,LINK,$@) $(LINK) -o $@ $(OBJECTS) $(LIBS)

$(BUILD)/%.o: %.c $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) -c -o $@ $<

# Another compiler or other flags than the last time: everything is built anew.
$(BUILD)/compile-command: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE)' | cmp -s - $@ || echo '$(COMPILE)' > $@

# The leaves know neither httpd nor curl, so each t/unit/test_*.c is a program of its own with all of them linked in.
LEAVES     := $(wildcard $(patsubst %,src/%.c,dialect form guard json lead limit outcome proxy repeat text url vault))
UNIT_TESTS := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(sort $(wildcard t/unit/test_*.c)))
UNIT_OBJS  := $(LEAVES:%.c=$(BUILD)/unit/%.o) $(UNIT_TESTS:%=%.o)
# Both sanitizers, where the compiler has their libraries.
UNIT_CHECKS = $(eval UNIT_CHECKS := $(shell echo 'int main(void) { return 0; }' | $(CC) -x c - -o /dev/null \
                $(SAN_FLAGS) 2>/dev/null && echo '$(SAN_FLAGS)'))$(UNIT_CHECKS)
SAN_FLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LEAF_LIBS   = $(shell $(PKG_CONFIG) --libs $(LIBRARIES) apr-util-1 apr-1)
UNIT_LIBS   = $(LEAF_LIBS) $(shell $(PKG_CONFIG) --libs cmocka)

$(BUILD)/unit/src/%.o: src/%.c $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) $(UNIT_CHECKS) -c -o $@ $<

$(BUILD)/unit/%.o: t/unit/%.c $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$<) $(COMPILE) $(UNIT_CHECKS) -c -o $@ $<

$(BUILD)/unit/test_%: $(BUILD)/unit/test_%.o $(LEAVES:%.c=$(BUILD)/unit/%.o)
	$(call say,LINK,$@) $(CC) -pthread -Wl,--as-needed $(UNIT_CHECKS) -o $@ $^ $(UNIT_LIBS)

# A fuzz target is a file t/fuzz/TARGET.c with seeds in t/fuzz/corpus/TARGET/; t/fuzz/README.md says how. Here it replays
# its seeds, with any compiler; what libFuzzer drives comes further down.
FUZZ_ALL := $(patsubst t/fuzz/%.c,%,$(filter-out t/fuzz/replay.c,$(sort $(wildcard t/fuzz/*.c))))
REPLAYS  := $(FUZZ_ALL:%=$(BUILD)/replay/%)

$(BUILD)/replay/%: t/fuzz/%.c t/fuzz/replay.c t/fuzz/fuzz.h $(wildcard src/*.h) $(LEAVES:%.c=$(BUILD)/unit/%.o)
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(UNIT_CHECKS) -o $@ $(filter %.c %.o,$^) \
	    -Wl,--as-needed $(LEAF_LIBS)

replays: $(REPLAYS)

# What t/browser/urls.t lays before a browser comes from here.
URL_TABLE := $(BUILD)/table/urls

$(URL_TABLE): t/browser/urls.c src/url.h $(BUILD)/unit/src/url.o $(BUILD)/unit/src/text.o
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(UNIT_CHECKS) -o $@ $(filter %.c %.o,$^) \
	    -Wl,--as-needed $(LEAF_LIBS)

.SECONDARY: $(UNIT_OBJS)
unit-tests: $(UNIT_TESTS) $(REPLAYS) $(URL_TABLE)

-include $(wildcard $(OBJECTS:.o=.d) $(UNIT_OBJS:.o=.d))

# The engine and the car park are hands, not leaves: they have threads and sockets. Their tests run plain, and under both
# kinds of sanitizer; those of the car park have an httpd of their own making.
ENGINE      := src/client.c src/reason.c t/engine/server.c t/engine/test_client.c
PARK        := src/park.c t/engine/test_park.c
SHARED      := src/guard.c src/limit.c t/engine/test_shared.c
ENGINES     := $(foreach how,plain address thread,$(addprefix $(BUILD)/engine/$(how)/,test_client test_park test_shared))
ENGINE_FLAGS_address := $(SAN_FLAGS)
ENGINE_FLAGS_thread  := -fsanitize=thread -fno-omit-frame-pointer

$(BUILD)/engine/%/test_client: $(ENGINE) src/client.h t/engine/server.h $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(ENGINE_FLAGS_$*) -o $@ $(ENGINE) $(UNIT_LIBS)

$(BUILD)/engine/%/test_park: $(PARK) src/park.h src/kohomai.h $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(ENGINE_FLAGS_$*) -o $@ $(PARK) $(UNIT_LIBS)

$(BUILD)/engine/%/test_shared: $(SHARED) src/shared.c src/shared.h src/guard.h src/limit.h $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(ENGINE_FLAGS_$*) -o $@ $(SHARED) $(UNIT_LIBS)

# The same for the part that sees to it that no lead is lost: it is killed at each operation on its files.
COURIER     := $(patsubst %,src/%.c,courier dialect json lead outbox text url) t/engine/test_courier.c
COURIERS    := $(patsubst %,$(BUILD)/engine/%/test_courier,plain address)
OPERATIONS  := $(addprefix -Wl$(comma)--wrap=,openat write fsync renameat2 unlinkat mkdirat flock close)

$(BUILD)/engine/%/test_courier: $(COURIER) $(wildcard src/*.h) $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(ENGINE_FLAGS_$*) $(OPERATIONS) -o $@ $(COURIER) $(UNIT_LIBS)

# Who waits, over all children of prefork, and the breakers that they share.
HOLDERS     := $(patsubst %,src/%.c,guard limit shared) t/engine/test_holders.c

$(BUILD)/engine/%/test_holders: $(HOLDERS) $(patsubst %,src/%.h,guard limit shared) $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(ENGINE_FLAGS_$*) -o $@ $(HOLDERS) $(UNIT_LIBS)

engine-tests: $(ENGINES) $(COURIERS) $(addprefix $(BUILD)/engine/,plain/test_holders address/test_holders)

# libFuzzer is clang's: `make fuzz` comes here with CC set to it, and a BUILD of its own.
FUZZ_FLAGS := $(SAN_FLAGS) -fsanitize=fuzzer

$(BUILD)/bin/%: t/fuzz/%.c t/fuzz/fuzz.h $(LEAVES) $(wildcard src/*.h) $(BUILD)/compile-command
	@mkdir -p $(@D)
	$(call say,CC,$@) $(filter-out -MMD -MP,$(COMPILE)) $(FUZZ_FLAGS) -o $@ $(filter %.c,$^) \
	    -Wl,--as-needed $(LEAF_LIBS)

fuzz-targets: $(FUZZ_ALL:%=$(BUILD)/bin/%)

# --- what people type ------------------------------------------------------------------------------------------------

check: $(UNIT_TESTS) $(REPLAYS)
	CMOCKA_MESSAGE_OUTPUT=TAP prove --exec '' $(UNIT_TESTS) $(REPLAYS)

test:
	@t/install-packages.sh test
	@$(MAKE) --no-print-directory all unit-tests engine-tests
	@t/run-tests

# The servers' tests once more, with every access to memory watched.
sanitize:
	@t/install-packages.sh test
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/sanitize SANITIZERS='$(SAN_FLAGS)' all
	@t/run-tests --module $(BUILD)/sanitize/mod_kohomai.so

# The same by Valgrind, which also knows what is used before anything was written to it, and what nothing points to any
# more: under event and prefork, since worker differs from event by the MPM alone, and without t/parking, whose tests are
# about time. Visitors wait in the storm instead, which bears with a slow httpd.
memcheck:
	@t/install-packages.sh memcheck
	@$(MAKE) --no-print-directory all
	@t/run-tests --valgrind --mpm event,prefork
	@t/soak/chaos --valgrind --seconds 180 --visitors 30

# Ten minutes of visitors, mishaps and restarts, then a hundred restarts by themselves; make test has short forms of both.
soak:
	@t/install-packages.sh test
	@$(MAKE) --no-print-directory all
	@t/soak/chaos --seconds 600
	@t/soak/restarts --restarts 100
	@t/soak/restarts --restarts 100 --mpm prefork

# New inputs against the leaves, a minute for each target unless it is said otherwise:
#     make fuzz FUZZ_TARGETS="url form" FUZZ_SECONDS=1200        make fuzz FUZZ_RUNS=10000000
FUZZ_CC      ?= clang
FUZZ_TARGETS ?= $(FUZZ_ALL)
fuzz:
	@t/install-packages.sh fuzz
	@$(MAKE) --no-print-directory CC='$(FUZZ_CC)' BUILD=$(BUILD)/fuzz fuzz-targets
	@FUZZ_SECONDS='$(FUZZ_SECONDS)' FUZZ_RUNS='$(FUZZ_RUNS)' t/fuzz/run $(BUILD)/fuzz $(FUZZ_TARGETS)

# Which lines of the leaves the seeds reach, and what `make fuzz` has found besides.
fuzz-coverage:
	@t/install-packages.sh fuzz
	@$(MAKE) --no-print-directory CC='$(FUZZ_CC)' BUILD=$(BUILD)/fuzz/coverage \
	    UNIT_CHECKS='-fprofile-instr-generate -fcoverage-mapping' replays
	@t/fuzz/coverage $(BUILD)/fuzz $(FUZZ_TARGETS)

bench:
	@t/install-packages.sh bench
	@$(MAKE) --no-print-directory all
	@t/bench/run

run:
	@t/install-packages.sh run
	@$(MAKE) --no-print-directory all
	@t/demo/run

lint:
	@t/install-packages.sh lint
	@$(MAKE) --no-print-directory --keep-going lint-sources
	@echo "Nothing to complain about."

clean:
	rm -rf $(BUILD)

# --- lint ------------------------------------------------------------------------------------------------------------

C_SOURCES  := $(SOURCES) $(sort $(wildcard t/unit/*.c t/fuzz/*.c t/browser/*.c))
C_FILES    := $(C_SOURCES) $(sort $(wildcard src/*.h t/unit/*.h t/fuzz/*.h))
# Guards of the house's own rules: each a program that complains and fails.
GUARDS     := $(shell find t/lint -maxdepth 1 -type f -executable 2>/dev/null)
SCRIPTS     = $(shell find . \( -path ./.git -o -path ./$(BUILD) \) -prune -o -type f -exec \
                awk 'FNR == 1 && /^\#!\/bin\/(ba)?sh/ { print FILENAME } { nextfile }' {} +)
LINT_FLAGS  = -std=gnu11 -Wall -Wextra -pthread $(filter -D%,$(APXS_FLAGS)) $(INCLUDES)

.PHONY: lint-compilers lint-format lint-cppcheck lint-scripts $(GUARDS)
lint-sources: lint-compilers lint-format lint-cppcheck lint-scripts $(GUARDS) $(C_SOURCES:%=$(BUILD)/lint/%.tidy)

# Each finds what the other does not.
lint-compilers:
	@$(MAKE) --no-print-directory CC=gcc BUILD=$(BUILD)/gcc all
	@$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/clang all

lint-format:
	clang-format --dry-run -Werror $(C_FILES)

format:
	clang-format -i $(C_FILES)

lint-cppcheck:
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
	    --suppress=missingInclude --suppress=unknownMacro --suppress=normalCheckLevelMaxBranches -Isrc $(SOURCES)

lint-scripts:
	shellcheck $(SCRIPTS)

$(GUARDS):
	$@

$(BUILD)/lint/%.tidy: % $(wildcard src/*.h t/unit/*.h t/fuzz/*.h) .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<) clang-tidy --quiet $< -- $(LINT_FLAGS) 2>&1 | { ! grep -v ' warnings\? generated\.$$'; }
	@touch $@

# --- install ---------------------------------------------------------------------------------------------------------

LIBEXECDIR = $(shell $(APXS) -q LIBEXECDIR)
SYSCONFDIR = $(shell $(APXS) -q SYSCONFDIR)

# Debian and its kin keep what a2enmod can enable in mods-available; elsewhere an example lands in extra/. A
# configuration that was edited is kept: the new one is put beside it, under a name that httpd does not read.
install: all
	install -D -m 644 $(MODULE) '$(DESTDIR)$(LIBEXECDIR)/mod_kohomai.so'
	@PATH="$$PATH:/usr/sbin"; \
	if [ -d '$(DESTDIR)$(SYSCONFDIR)/mods-available' ] || command -v a2enmod >/dev/null; then \
	    conf='$(DESTDIR)$(SYSCONFDIR)/mods-available'; \
	    install -v -D -m 644 conf/kohomai.load "$$conf/kohomai.load"; \
	    how='a2enmod kohomai, then restart apache2'; \
	else \
	    conf='$(DESTDIR)$(SYSCONFDIR)/extra'; \
	    how='LoadModule kohomai_module "$(LIBEXECDIR)/mod_kohomai.so"'; \
	fi; \
	new="$$conf/kohomai.conf"; \
	if [ -e "$$new" ] && ! cmp -s conf/kohomai.conf "$$new"; then \
	    echo "$$new has been edited and is kept; the new one is $$new.new"; new="$$new.new"; \
	fi; \
	install -v -D -m 644 conf/kohomai.conf "$$new"; \
	echo "To enable it: $$how"
