# What people do with the package. Each target installs what is missing, builds, and runs.
SWIFT ?= swift

# The released binary: the Swift runtime, libstdc++ and liburing are in it; of the system it needs the C
# library alone. Not one static executable, because libnbd is loaded when an NBD storage is opened, and
# glibc loads nothing into those. At a fixed address, so that no relocations touch its pages. See
# ARCHITECTURE.md, "Memory".
STATIC = $(CURDIR)/.build/static-libraries
RELEASE = -c release --static-swift-stdlib -Xlinker -L$(STATIC) \
  -Xswiftc -Xclang-linker -Xswiftc -no-pie -Xswiftc -Xclang-linker -Xswiftc -static-libgcc \
  -Xlinker --gc-sections -Xlinker --as-needed -Xlinker -z -Xlinker now

.PHONY: demo build test check lint format bench manual docs clean prerequisites

demo: build
	.build/release/vfio-user demo

build: prerequisites
	@# The linker takes the first libstdc++ that it finds: the archive.
	@mkdir -p $(STATIC)
	@ln -sf "$$(ls /usr/lib/gcc/*/*/libstdc++.a | tail -n 1)" $(STATIC)/libstdc++.a
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

# The documentation of the libraries, by the DocC of the toolchain.
docs: prerequisites
	Scripts/documentation

prerequisites:
	@Scripts/prerequisites

clean:
	rm -rf .build .build-address .build-thread .build-guest Benchmarks/.build
