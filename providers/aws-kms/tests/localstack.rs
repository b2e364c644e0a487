//! Against LocalStack.
