//! FNV-1a in C.

extern "C" {
    fn ws_checksum(bytes: *const u8, count: usize) -> u32;
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    // SAFETY: the C function reads exactly `len` bytes.
    unsafe { ws_checksum(bytes.as_ptr(), bytes.len()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_values() {
        assert_eq!(super::checksum(b""), 0x811c_9dc5);
        assert_eq!(super::checksum(b"a"), 0xe40c_292c);
    }
}
