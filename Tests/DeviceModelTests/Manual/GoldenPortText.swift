// What the manual of a PCI device must look like, character by character.

let goldenPortText = #"""
  port: A port for tests.

  ABOUT
    It drives nothing.

  PCI FUNCTION
    Vendor and device    1234:0abc
    Subsystem            0000:0000
    Class code           078000, Communication controller
    Revision             0x02
    Configuration space  256 bytes
    INTx                 pin A
    MSI                  1 vector
    MSI-X                4 vectors, table in BAR 2 at 0x0, pending bits in BAR 2
                         at 0x4000

  WINDOWS
    BAR  Kind            Size  Contents
    0    I/O ports       16
           at 0x0              PortRegister, see below
    2    memory, 64-bit  64K   Vectors and memory.
           at 0x8000           scratch, 4096 bytes. Holds what the driver likes.

  CAPABILITIES
    Offset  Bytes  Capability
    0x40    14     MSI
    0x50    12     MSI-X

  HOST SIDE
    Kind  lines, optional

    The far end of the port.

  KNOBS
    vectors  integer from 1 to 2048; default 4
             How many MSI-X vectors there are.

  BACKENDS
    unix:PATH  Lines of text.

  REGISTERS: BAR 0, 1 BYTE
    An access wider than a register reaches each register that it covers.

    Offset  Bytes  Access  Reset  Acronym  Name

    0x00    1      RW      0x00   DATA     Data
        What the port drives.

  """#
