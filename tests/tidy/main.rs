//! Checks what the compiler cannot: the structure of the sources, and that the documents are correct.
//!
//! Every test reads the sources as text. Its message says where the fault is, and what to do.

mod circles;
mod crates;
mod documents;
mod english;
mod sources;
mod text;
mod vocabulary;
