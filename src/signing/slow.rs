//! Threads of lower priority for slow signatures, with a bounded queue.
//!
//! An RSA signature takes 250 µs or more of CPU time. On the threads that serve sockets, it would delay all other
//! requests. Here it waits for its turn, and the sockets come first.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How many signatures may wait. With RSA-2048 on one core, this is a quarter of a second of work.
const QUEUE: usize = 1024;
/// The maximum number of threads that compute slow signatures.
const MOST_THREADS: usize = 4;
/// How much the threads yield to those that serve sockets (`nice`).
const NICE: i32 = 5;

type Job = Box<dyn FnOnce() + Send>;

/// Computes slow signatures on threads of its own.
#[derive(Clone, Debug)]
pub struct SlowSigner {
    jobs: SyncSender<Job>,
}

/// The error if the queue is full or the threads have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine cannot compute signatures fast enough: {QUEUE} requests are already waiting; try again later")]
pub struct QueueFull;

impl SlowSigner {
    /// Starts a thread for every core, up to a limit. They yield to all other threads, so several do no harm.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start() -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism()?.get().min(MOST_THREADS);
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("signet-lane-{n}"))
                .spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Runs a job on these threads.
    ///
    /// # Errors
    /// [`QueueFull`] if the queue is full.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, QueueFull> {
        let (answer, wait) = oneshot::channel();
        let job: Job = Box::new(move || {
            // If the client has left, nobody waits for the result and the job is skipped.
            if !answer.is_closed() {
                let _ = answer.send(job());
            }
        });
        self.jobs
            .try_send(job)
            .map_err(|(TrySendError::Full(_) | TrySendError::Disconnected(_))| QueueFull)?;
        wait.await.map_err(|_| QueueFull)
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    // On Linux, this is the priority of the calling thread. Without permission to change it,
    // signing works all the same.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the priority of the signing threads cannot be lowered");
    }
    loop {
        let job = queue.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn when_the_queue_is_full_the_next_signature_is_refused_at_once() {
        let (jobs, _queue) = sync_channel(1);
        let slow_signer = SlowSigner { jobs };
        let mut first = Box::pin(slow_signer.run(|| ()));
        assert_eq!(poll!(&mut first), Poll::Pending);
        assert_eq!(slow_signer.run(|| ()).await, Err(QueueFull));
    }
}
