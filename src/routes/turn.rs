//! Limits the memory for answers to batches.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The maximum size in bytes of all answers to batches that are being made. An answer is a third longer than the
/// request, plus a header and a signature for each item.
const ANSWERS: usize = 8 * 1024 * 1024;
/// No item of a batch is shorter than this, in bytes.
const SHORTEST_ITEM: usize = 20;
/// The maximum number of bytes that the answer adds to an item.
const ADDED_TO_ITEM: usize = 600;

static BATCHES: Semaphore = Semaphore::const_new(ANSWERS);

/// Waits until there is memory for the answer to a batch with at most this many items. Batches are limited by the CPU,
/// so more of them at once would not be faster.
pub(super) async fn turn(batch: &[u8], most_items: usize) -> Option<SemaphorePermit<'static>> {
    let items = most_items.min(batch.len() / SHORTEST_ITEM);
    let longest = batch.len() + batch.len() / 2 + items * ADDED_TO_ITEM;
    // The semaphore is never closed.
    BATCHES
        .acquire_many(u32::try_from(longest.min(ANSWERS)).ok()?)
        .await
        .ok()
}
