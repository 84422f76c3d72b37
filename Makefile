# What people do with the package. Each target installs what is missing, builds, and runs.
SWIFT ?= swift

# The released binary: one static executable. It maps nothing but itself, which saves 2.5 MB of
# resident memory against dynamic system libraries; see ARCHITECTURE.md, "Memory". The linker warns of
# getpwnam and the like, in a part of a dependency that nothing here calls.
RELEASE = -c release --static-swift-stdlib -Xswiftc -static-executable

.PHONY: demo build test check lint format bench manual docs clean prerequisites

demo: build
	.build/release/vfio-user demo

build: prerequisites
	$(SWIFT) build $(RELEASE) --product vfio-user

test:
	@Scripts/prerequisites test
	Scripts/test

# Format and lint, every target with strict memory safety (set in Package.swift, warnings are
# errors), and the tests.
check: lint
	@Scripts/prerequisites test
	$(SWIFT) build --build-tests
	Scripts/test unit

lint: prerequisites
	$(SWIFT) format lint --strict --parallel --recursive Sources Tests Examples Benchmarks/Sources Package.swift

format: prerequisites
	$(SWIFT) format --in-place --parallel --recursive Sources Tests Examples Benchmarks/Sources Package.swift

bench: build
	cd Benchmarks && VFIO_USER=$(CURDIR)/.build/release/vfio-user $(SWIFT) run -c release

# The hardware manual of every device, from its declarations.
manual: build
	.build/release/vfio-user devices --format markdown

prerequisites:
	@Scripts/prerequisites

clean:
	rm -rf .build .build-address .build-thread
