//! Minting: what becomes of claims, and which are refused.

mod mint;
mod property;
mod table;
