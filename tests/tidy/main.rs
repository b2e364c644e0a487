//! What the compiler cannot keep: the shape of the house, and that the documents tell the truth.
//!
//! Every test reads the sources as text. Its message says where the fault is and what to do about it.

mod circles;
mod crates;
mod documents;
mod sources;
mod text;
mod vocabulary;
