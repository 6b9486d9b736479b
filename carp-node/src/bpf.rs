//! The instructions of classic BPF, in which the kernel is told what it drops: the codes of `linux/filter.h`.

pub(crate) const LOAD_BYTE_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
pub(crate) const LOAD_HALF_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
pub(crate) const LOAD_WORD_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
pub(crate) const LOAD_BYTE_INDEXED: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
pub(crate) const LOAD_WORD_INDEXED: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_IND) as u16;
pub(crate) const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_IMM) as u16;
pub(crate) const LOAD_NUMBER_TO_INDEX: u16 = (libc::BPF_LDX | libc::BPF_IMM) as u16;
pub(crate) const LOAD_INDEX_MEMORY: u16 = (libc::BPF_LDX | libc::BPF_MEM) as u16;
pub(crate) const STORE: u16 = libc::BPF_ST as u16;
pub(crate) const LOAD_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
pub(crate) const COPY_TO_INDEX: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
pub(crate) const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
pub(crate) const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
pub(crate) const JUMP_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
pub(crate) const JUMP_EQUAL_INDEX: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_X) as u16;
pub(crate) const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
pub(crate) const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// What a program returns that keeps a packet whole.
pub(crate) const ALL: u32 = u32::MAX;
