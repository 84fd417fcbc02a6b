//! For callers in C.

use std::ffi::{c_char, CStr};

/// How many records a text of JSON lines has; -1 where it has mistakes.
///
/// # Safety
/// `text` is null or ends with a zero byte.
#[no_mangle]
pub unsafe extern "C" fn ws_count_records(text: *const c_char) -> i64 {
    if text.is_null() {
        return -1;
    }
    let Ok(text) = CStr::from_ptr(text).to_str() else { return -1 };
    ws_records::Store::read(text).map_or(-1, |store| store.all().len() as i64)
}
