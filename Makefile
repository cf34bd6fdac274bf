# `make help` says what there is. Nothing is built here that cargo, npm or meson does not build; this file knows the order.

CARGO ?= cargo
MESON ?= meson
PORT ?= 8080
CLIP ?=
DEVICE ?=
AUDIO ?=
TLS_PORT ?=
ONLY ?=
FUZZ_SECONDS ?= 60

export PATH := $(PATH):$(HOME)/.cargo/bin

target := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
plugin := $(target)/release/libgstllhlssink.so
streamer := $(target)/release/examples/streamer
latency := $(target)/release/examples/llhls-latency
PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
plugins_dir = $(or $(PLUGINSDIR),$(shell pkg-config --variable=pluginsdir gstreamer-1.0))
camera := $(or $(DEVICE),$(wildcard /dev/video0))
have_npm := $(shell command -v npm 2>/dev/null)

# Where the real footage lies, for every test that wants it.
export LLHLS_CLIPS := $(or $(LLHLS_CLIPS),$(target)/clips)

.DEFAULT_GOAL := build
# The players measure stalls: nothing may run beside them, whatever -j says.
.NOTPARALLEL:
.PHONY: build web demo test run-tests test-cargo test-engine test-meson test-players players bench fuzz lint install clean help

build: web ## the plugin, with its player page, and the programs llhls-streamer and llhls-latency (the default)
	$(CARGO) build --release --locked --lib --example streamer --example llhls-latency

web: ## what the player page needs from npm; without npm it is left out and the page says so
ifneq ($(wildcard web/package-lock.json),)
ifneq ($(have_npm),)
web: web/node_modules/.package-lock.json
else
	@echo "web: no npm here; the player page goes without hls.js"
endif
endif

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

demo: ## stream the camera, or CLIP=file.mp4, or DEVICE=/dev/videoN, or a test picture; AUDIO=1 adds sound to the first and the last, a clip has its own; PORT=8080; TLS_PORT=8443
	./setup.sh
	$(MAKE) --no-print-directory web
	$(CARGO) build --release --locked --example streamer
	@exec "$(streamer)" --http-port "$(PORT)" --part-duration 0.2 $(if $(CLIP),,$(if $(AUDIO),--audio)) \
		$(if $(TLS_PORT),--tls-port "$(TLS_PORT)") \
		$(if $(CLIP),--clip "$(CLIP)",$(if $(camera),--device "$(camera)",--test-src))

test: ## every test there is, players included; ends with their number
	./setup.sh --tests
	$(MAKE) --no-print-directory build
	tests/clips.sh
	.ci/count $(MAKE) --no-print-directory --keep-going run-tests

run-tests: test-cargo test-engine test-meson test-players

# A GLib critical is a bug of ours: it ends the test binary.
test-cargo:
	G_DEBUG=fatal-criticals $(CARGO) test --locked --all-features --no-fail-fast

# What is served does not depend on what carries it: the same tests once more over the other engine. Not those that are about
# hyper itself, serve nothing, or open many connections close together.
served_over_both := benchmark_page blocking branch_while_playing bus continuation date_sources dates directory_fallback \
	directory_intake directory_recording discontinuity documents dynamic_pads end_of_stream footage frame_rates key_frames \
	negotiation real_input recording_branch reports restart silent_tracks stalled_source startup tags tiny_http track_changes \
	track_lives tracks upstream who_may_watch window

test-engine:
	LLHLS_HTTP_ENGINE=tiny-http G_DEBUG=fatal-criticals $(CARGO) test --locked --all-features --no-fail-fast \
		$(addprefix --test ,$(served_over_both))

test-meson:
	@[ -f "$(target)/meson/build.ninja" ] || $(MESON) setup "$(target)/meson"
	$(MESON) test -C "$(target)/meson"

test-players:
	$(CARGO) build --release --locked --example streamer --example rehearsal
	tests/players.sh

players: ## the players CI does not try: Shaka, Chromium's native HLS, VLC, mpv; prints a table
	./setup.sh --players
	$(MAKE) --no-print-directory web
	$(CARGO) build --release --locked --example streamer
	tests/players.sh --table

bench: ## the figures the README quotes, in about fifty minutes; ONLY="viewers cache" for some sections, glass is what browsers show
	./setup.sh --bench
	$(MAKE) --no-print-directory web
	$(CARGO) bench --locked --bench road -- $(ONLY)

# -s none: there is no unsafe code for a sanitizer to watch.
fuzz: ## look for input that breaks the request core, FUZZ_SECONDS=60 a target; needs nightly Rust and cargo-fuzz
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || { \
		echo "fuzz: needs nightly Rust and cargo-fuzz: rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	for target in requests queries heads muxed; do \
		$(CARGO) +nightly fuzz run -s none $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=8192 || exit 1; \
	done

lint: ## format, clippy, rustdoc, licences
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny check licenses bans sources; \
	else \
		echo "lint: cargo-deny is not installed: licences, bans and sources are not checked"; \
	fi

install: ## the built plugin to where GStreamer looks, the programs to PREFIX/bin; PLUGINSDIR=, PREFIX= and DESTDIR= as usual
	@[ -f "$(plugin)" ] && [ -f "$(streamer)" ] && [ -f "$(latency)" ] || { echo "install: nothing built yet; run make first" >&2; exit 1; }
	install -D -m 644 "$(plugin)" "$(DESTDIR)$(plugins_dir)/libgstllhlssink.so"
	install -D -m 755 "$(streamer)" "$(DESTDIR)$(bindir)/llhls-streamer"
	install -D -m 755 "$(latency)" "$(DESTDIR)$(bindir)/llhls-latency"

clean: ## everything that was built or downloaded
	$(CARGO) clean
	rm -rf build web/node_modules

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
