//! The client's clock, for `--since 10m`. Nothing waits by it.

use jiff::Timestamp;

pub fn now() -> Timestamp {
    Timestamp::now()
}
