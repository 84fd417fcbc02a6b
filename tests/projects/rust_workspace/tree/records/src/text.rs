//! Text that is part of the library.

/// Shown first.
pub fn banner() -> &'static str {
    include_str!("text/banner.txt")
}

/// Words that a query may contain for reading's sake.
pub static STOP_WORDS: &[&str] = ws_macros::words_of!("src/text/stop-words.txt");
