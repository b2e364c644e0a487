//! The rows of `signet check`: yes, no or unknown.
//!
//! A row says *no* only if the provider said so. If something prevented the answer (no connection, a busy provider,
//! credentials that are not accepted), the row is unknown and the trials end, because all later rows would fail in the
//! same way, each after a wait.

use std::fmt;
use std::future::Future;

use crate::error::{ErrorKind, ProviderError};

/// A permission or property that `signet check` examined.
#[derive(Debug)]
pub struct Check {
    /// What was tried, in the provider's own words.
    pub permission: String,
    /// Why Signet needs it.
    pub needed_for: &'static str,
    /// Whether it is there.
    pub answer: Answer,
    /// The policy that grants it, in the provider's own syntax and with the configured names filled in. `None`
    /// if no policy can grant it.
    pub grant: Option<String>,
}

/// Whether a permission or property is there.
#[derive(Debug)]
pub enum Answer {
    /// Yes: the provider has shown it.
    Yes,
    /// No: the provider refused because the permission is missing, or the property does not have the required value.
    No(ProviderError),
    /// Unknown: it was tried without a result. The error says why and what to do.
    Failed(ProviderError),
    /// Unknown: it was not tried. The text says why.
    NotTried(String),
}

impl Answer {
    /// One of `yes`, `no` and `unknown`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No(_) => "no",
            Self::Failed(_) | Self::NotTried(_) => "unknown",
        }
    }

    /// Whether the permission or property is there.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Whether the operator must act: it is missing, or trying it failed.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.error().is_some()
    }

    /// The error, if there is one.
    #[must_use]
    pub const fn error(&self) -> Option<&ProviderError> {
        match self {
            Self::No(error) | Self::Failed(error) => Some(error),
            Self::Yes | Self::NotTried(_) => None,
        }
    }
}

/// Called before each trial, and with each finished row.
type Watcher = Box<dyn FnMut(Progress<'_>) + Send>;

/// The progress of the trials, as a watcher sees it.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The trial of this permission or property begins.
    Trying(&'a str),
    /// The trial has ended with this row.
    Found(&'a Check),
}

/// The trials of one provider, with their results.
#[derive(Default)]
pub struct Trials {
    rows: Vec<Check>,
    trying: Option<(String, &'static str)>,
    is_over: bool,
    watcher: Option<Watcher>,
}

impl Trials {
    /// Makes trials that call `watcher` as they proceed.
    pub fn watched(watcher: impl FnMut(Progress<'_>) + Send + 'static) -> Self {
        Self {
            watcher: Some(Box::new(watcher)),
            ..Self::default()
        }
    }

    /// Runs these trials and returns their rows.
    pub async fn of(trials: impl AsyncFnOnce(&mut Self)) -> Vec<Check> {
        let mut made = Self::default();
        trials(&mut made).await;
        made.rows
    }

    /// Tries a call that needs a permission, which the policy `grant` gives.
    ///
    /// The row says *no* only if the call is refused because the permission is missing. Returns the result of the call.
    /// Does nothing once the trials are over.
    pub async fn permission<T>(
        &mut self,
        permission: impl Into<String>,
        needed_for: &'static str,
        grant: Option<String>,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Option<T> {
        let is_refusal = |kind| kind == ErrorKind::PermissionDenied;
        self.attempt(permission.into(), needed_for, grant, call, is_refusal)
            .await
    }

    /// Tries a property that no policy can grant. The row also says *no* if the property is wrong or unusable.
    pub async fn property<T>(
        &mut self,
        property: impl Into<String>,
        needed_for: &'static str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Option<T> {
        self.property_of(property, needed_for, None, call).await
    }

    /// Tries a property that also needs a permission, which the policy `grant` gives.
    pub async fn property_of<T>(
        &mut self,
        property: impl Into<String>,
        needed_for: &'static str,
        grant: Option<String>,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Option<T> {
        let is_refusal = |kind: ErrorKind| !kind.is_transient() && kind != ErrorKind::Unauthenticated;
        self.attempt(property.into(), needed_for, grant, call, is_refusal).await
    }

    async fn attempt<T>(
        &mut self,
        permission: String,
        needed_for: &'static str,
        grant: Option<String>,
        call: impl Future<Output = Result<T, ProviderError>>,
        is_refusal: impl Fn(ErrorKind) -> bool,
    ) -> Option<T> {
        if self.is_over {
            return None;
        }
        self.tell(&Progress::Trying(&permission));
        self.trying = Some((permission.clone(), needed_for));
        let outcome = call.await;
        self.trying = None;
        let (answer, given) = match outcome {
            Ok(given) => (Answer::Yes, Some(given)),
            Err(error) if is_refusal(error.kind) => (Answer::No(error), None),
            Err(error) => (Answer::Failed(error), None),
        };
        self.push(Check {
            permission,
            needed_for,
            answer,
            grant,
        });
        given
    }

    /// Records that the provider could not be opened, so nothing was tried.
    ///
    /// A wrong setting says nothing about the provider. The row is unknown, and its error names the setting.
    pub fn not_opened(&mut self, opening: impl Into<String>, needed_for: &'static str, error: ProviderError) {
        let is_learned = matches!(
            error.kind,
            ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::KeyUnusable | ErrorKind::BadAnswer
        );
        self.push(Check {
            permission: opening.into(),
            needed_for,
            answer: if is_learned {
                Answer::No(error)
            } else {
                Answer::Failed(error)
            },
            grant: None,
        });
    }

    /// Adds a row for something that cannot be tried here, with the reason.
    pub fn not_tried(&mut self, permission: impl Into<String>, needed_for: &'static str, why: impl Into<String>) {
        if self.is_over {
            return;
        }
        self.push(Check {
            permission: permission.into(),
            needed_for,
            answer: Answer::NotTried(why.into()),
            grant: None,
        });
    }

    /// Ends the trial in progress with this error. Without one in progress, the results so far are kept.
    pub fn on_timeout(&mut self, error: ProviderError) {
        if let Some((permission, needed_for)) = self.trying.take() {
            self.push(Check {
                permission,
                needed_for,
                answer: Answer::Failed(error),
                grant: None,
            });
        }
    }

    /// Adds a row. If it failed for a reason for which later rows would fail too, the trials end.
    pub fn push(&mut self, check: Check) {
        if let Answer::Failed(error) = &check.answer {
            // Errors of these kinds concern only the key of this call.
            self.is_over = !matches!(error.kind, ErrorKind::KeyUnusable | ErrorKind::NotFound);
        }
        self.tell(&Progress::Found(&check));
        self.rows.push(check);
    }

    fn tell(&mut self, progress: &Progress<'_>) {
        if let Some(watcher) = &mut self.watcher {
            watcher(match progress {
                Progress::Trying(what) => Progress::Trying(what),
                Progress::Found(check) => Progress::Found(check),
            });
        }
    }

    /// Whether the trials are over, because more of them would show nothing new.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The rows so far.
    #[must_use]
    pub fn rows(&self) -> &[Check] {
        &self.rows
    }

    /// The rows so far, for changes.
    pub fn rows_mut(&mut self) -> &mut [Check] {
        &mut self.rows
    }

    /// The rows of all trials, in their order.
    #[must_use]
    pub fn into_rows(self) -> Vec<Check> {
        self.rows
    }
}

impl fmt::Debug for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trials")
            .field("rows", &self.rows)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::error::Operation;

    fn failed(kind: ErrorKind) -> ProviderError {
        ProviderError::new("cloud", Operation::Check, kind, "said so")
    }

    /// Runs a future that never waits.
    fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    fn permission(kind: ErrorKind) -> Trials {
        let mut trials = Trials::default();
        let given = ready(trials.permission("sign", "signing", Some("grant".to_owned()), async {
            Err::<(), _>(failed(kind))
        }));
        assert_eq!(given, None);
        trials
    }

    #[test]
    fn only_a_refusal_for_want_of_a_permission_is_a_no() {
        for kind in ErrorKind::ALL {
            let word = permission(kind).rows()[0].answer.as_str();
            let expected = if kind == ErrorKind::PermissionDenied {
                "no"
            } else {
                "unknown"
            };
            assert_eq!(word, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_property_is_a_no_also_if_it_is_wrong_and_unknown_if_nobody_answered() {
        for kind in ErrorKind::ALL {
            let mut trials = Trials::default();
            ready(trials.property("a ring", "signing", async { Err::<(), _>(failed(kind)) }));
            let learned = !matches!(
                kind,
                ErrorKind::Unauthenticated | ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::TimedOut
            );
            assert_eq!(
                trials.rows()[0].answer.as_str(),
                if learned { "no" } else { "unknown" },
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_wrong_setting_is_no_answer_of_the_provider() {
        for kind in ErrorKind::ALL {
            let mut trials = Trials::default();
            trials.not_opened("open the ring", "everything", failed(kind));
            let learned = matches!(
                kind,
                ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::KeyUnusable | ErrorKind::BadAnswer
            );
            let row = &trials.rows()[0];
            assert_eq!(row.answer.as_str(), if learned { "no" } else { "unknown" }, "{kind:?}");
            assert!(row.answer.is_bad(), "{kind:?}: the operator can do something");
        }
    }

    #[test]
    fn the_first_failure_of_the_connection_ends_the_trials() {
        for kind in ErrorKind::ALL {
            let mut trials = permission(kind);
            let tried = ready(trials.permission("list", "reading", None, async { Ok(()) }));
            trials.not_tried("delete", "pruning", "it cannot be tried");
            let goes_on = matches!(
                kind,
                ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::KeyUnusable
            );
            assert_eq!(
                (tried.is_some(), trials.rows().len()),
                (goes_on, if goes_on { 3 } else { 1 }),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_trial_that_was_given_up_is_a_row_of_its_own_and_is_told_of() {
        let (told, heard) = std::sync::mpsc::channel();
        let mut trials = Trials::watched(move |progress| {
            told.send(match progress {
                Progress::Trying(what) => format!("trying {what}"),
                Progress::Found(check) => format!("{} {}", check.permission, check.answer.as_str()),
            })
            .expect("heard");
        });
        trials.on_timeout(failed(ErrorKind::TimedOut));
        assert!(trials.rows().is_empty(), "no call was in progress");
        {
            let hangs = pin!(trials.permission("sign", "signing", None, std::future::pending::<Result<(), _>>()));
            assert!(hangs.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        trials.on_timeout(failed(ErrorKind::TimedOut));
        assert!(trials.is_over() && !trials.rows()[0].answer.is_yes());
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["trying sign", "sign unknown"]);
    }
}
