//! Minting: what happens to the claims of the caller, and which are refused.

mod mint;
mod property;
mod table;
