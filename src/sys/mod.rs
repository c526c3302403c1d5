pub mod open;
pub mod stream;
