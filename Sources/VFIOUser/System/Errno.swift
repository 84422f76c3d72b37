import SystemPackage

/// The error number that system calls and reply headers carry, under a name that needs no other import.
public typealias Errno = SystemPackage.Errno
