//! An object store with scripted misbehaviour for each call.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use signet_api::async_trait;

/// What happens to one `get` or `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strange {
    /// The call succeeds.
    No,
    /// The call fails with this status and body, and has no effect.
    Answers(&'static str, &'static str),
    /// The call is carried out, but its answer is lost.
    AnswerLost,
    /// The call is carried out but never answered.
    Hangs,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "Error performing PUT https://acme.example/rings/ring?sig=HUSH in 1ms - Server returned non-2xx status code: {0}: {1}"
)]
struct Status(&'static str, &'static str);

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Strange>,
    calls: Vec<String>,
    ignores_updates: bool,
    ignores_creates: bool,
    tells_no_version: bool,
    claims_size: Option<u64>,
}

/// Clones share the objects and the script.
#[derive(Clone, Debug, Default)]
pub(crate) struct StrangeStore {
    pub(crate) inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

impl StrangeStore {
    pub(crate) fn script(&self, script: impl IntoIterator<Item = Strange>) {
        self.state.lock().expect("no panic").script.extend(script);
    }

    pub(crate) fn ignores(&self, creates: bool, updates: bool) {
        let mut state = self.state.lock().expect("no panic");
        (state.ignores_creates, state.ignores_updates) = (creates, updates);
    }

    pub(crate) fn tells_no_version(&self) {
        self.state.lock().expect("no panic").tells_no_version = true;
    }

    pub(crate) fn claims_size(&self, size: u64) {
        self.state.lock().expect("no panic").claims_size = Some(size);
    }

    /// The calls so far, such as `get` and `put create`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().expect("no panic").calls.clone()
    }

    fn begin(&self, call: &str) -> Strange {
        let mut state = self.state.lock().expect("no panic");
        state.calls.push(call.to_owned());
        state.script.pop_front().unwrap_or(Strange::No)
    }
}

fn answered(status: &'static str, body: &'static str) -> Error {
    let (path, source) = ("ring".to_owned(), Box::new(Status(status, body)));
    match &status[..3] {
        "404" => Error::NotFound { path, source },
        "409" => Error::AlreadyExists { path, source },
        "403" => Error::PermissionDenied { path, source },
        _ => Error::Generic { store: "S3", source },
    }
}

async fn end<T>(strange: Strange, answer: Result<T>) -> Result<T> {
    match strange {
        Strange::AnswerLost => Err(answered("504 Gateway Timeout", "")),
        Strange::Hangs => std::future::pending().await,
        _ => answer,
    }
}

#[async_trait]
impl ObjectStore for StrangeStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let strange = self.begin(match options.mode {
            PutMode::Create => "put create",
            PutMode::Update(_) => "put update",
            PutMode::Overwrite => "put",
        });
        if let Strange::Answers(status, body) = strange {
            return Err(answered(status, body));
        }
        let (ignores, hides) = {
            let state = self.state.lock().expect("no panic");
            let ignores = match options.mode {
                PutMode::Create => state.ignores_creates,
                _ => state.ignores_updates,
            };
            (ignores, state.tells_no_version)
        };
        if ignores {
            options.mode = PutMode::Overwrite;
        }
        tokio::task::yield_now().await;
        let mut answer = self.inner.put_opts(path, payload, options).await;
        if let (Ok(answer), true) = (&mut answer, hides) {
            (answer.e_tag, answer.version) = (None, None);
        }
        end(strange, answer).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let strange = self.begin("get");
        if let Strange::Answers(status, body) = strange {
            return Err(answered(status, body));
        }
        tokio::task::yield_now().await;
        let mut answer = self.inner.get_opts(path, options).await;
        if let Ok(answer) = &mut answer {
            let state = self.state.lock().expect("no panic");
            if state.tells_no_version {
                (answer.meta.e_tag, answer.meta.version) = (None, None);
            }
            answer.meta.size = state.claims_size.unwrap_or(answer.meta.size);
        }
        end(strange, answer).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.begin("delete");
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for StrangeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StrangeStore")
    }
}
