//! Minting: what becomes of the caller's claims, and which are refused.

mod mint;
mod property;
mod table;
