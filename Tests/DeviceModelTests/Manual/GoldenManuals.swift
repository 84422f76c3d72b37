// What the sample manual must look like, character by character.

let goldenText = #"""
  pump: A pump for tests, which fills a tank that does not exist.

  BUS
    Vendor      1234
    Class code  ff0000

    Region  Size
    0       48
    1       4096

    Resets of every kind are alike.

  KNOBS
    fluid  one of water, oil; default water
           What is pumped.
    tank   size from 4K to 1M; default 64K
           How much the tank holds.
    label  text; empty by default
           A name for logs.

  BACKENDS
    file:PATH  Each level is appended to this file.
    unix:PATH  Levels go to whoever listens on this socket.

  REGISTERS: REGION 0, 48 BYTES
    Accesses wider than a register are split.

    Offset  Bytes  Access    Reset       Acronym  Name

    0x00    4      RO        0x010000ed  ID       Identification
        Version and magic.
        31:24  RO  Major  Major version.
          7:0  RO  Magic  Always 0xed.

    0x04    2      RW, RW1C  0x0000      CTL      Control
        Starts and stops the pump. A stopped pump keeps its level; a started one
        raises the level by one each second until it is full.
        Keeps its value across a reset.
        1  RW1C  FULL  The pump has filled the tank; write 1 to forget it.
        0  RW    RUN   Whether it runs.
                       0: stopped.
                       1: running.

    0x08    1      RO        0x00        LVL      Level
        How full it is.

    0x08    1      WO        0x00        DIV      Divisor
        Slows the pump down.
        Visible while CTL.RUN is 0.

    0x10    4      RW        0x00000000  CH       Channel
        One valve | one channel.
        4 elements, 8 bytes apart; the last is at 0x28.

  """#

let goldenMarkdown = #"""
  # pump

  A pump for tests, which fills a tank that does not exist.

  ## Bus

  - Vendor: 1234
  - Class code: ff0000

  | Region | Size |
  | --- | --- |
  | 0 | 48 |
  | 1 | 4096 |

  Resets of every kind are alike.

  ## Knobs

  | Knob | Values | Default | Description |
  | --- | --- | --- | --- |
  | `fluid` | one of water, oil | `water` | What is pumped. |
  | `tank` | size from 4K to 1M | `64K` | How much the tank holds. |
  | `label` | text |  | A name for logs. |

  ## Backends

  | Backend | Description |
  | --- | --- |
  | `file:PATH` | Each level is appended to this file. |
  | `unix:PATH` | Levels go to whoever listens on this socket. |

  ## Registers: region 0, 48 bytes

  Accesses wider than a register are split.

  ### 0x00 Identification (ID)

  4 bytes, RO, reset `0x010000ed`.

  Version and magic.

  | Bits | Field | Access | Description |
  | --- | --- | --- | --- |
  | 31:24 | Major | RO | Major version. |
  | 7:0 | Magic | RO | Always 0xed. |

  ### 0x04 Control (CTL)

  2 bytes, RW, RW1C, reset `0x0000`.

  Starts and stops the pump. A stopped pump keeps its level; a started one raises the level by one each second until it is full. Keeps its value across a reset.

  | Bits | Field | Access | Description |
  | --- | --- | --- | --- |
  | 1 | FULL | RW1C | The pump has filled the tank; write 1 to forget it. |
  | 0 | RUN | RW | Whether it runs. 0: stopped. 1: running. |

  ### 0x08 Level (LVL)

  1 byte, RO, reset `0x00`.

  How full it is.

  ### 0x08 Divisor (DIV)

  1 byte, WO, reset `0x00`.

  Slows the pump down. Visible while CTL.RUN is 0.

  ### 0x10 Channel (CH)

  4 bytes, RW, reset `0x00000000`.

  One valve | one channel. 4 elements, 8 bytes apart; the last is at 0x28.

  """#
