//! Where a repository lies: a folder, or a bucket of an object store that speaks S3.
//!
//! - Everything blocks: a store is used by a command of the command line, or by a thread of its own, never by a worker or the
//!   driver.
//! - An object appears as a whole or not at all, and durably.
//! - An object's length is looked at before it is read: one that is longer than it can be costs no memory.
//! - Requests that fail for a moment are repeated for a short time; who wants more patience calls again.
//! - Where an S3 store is and who may use it comes from the usual variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//!   `AWS_REGION`, `AWS_ENDPOINT_URL` and so on. An endpoint that begins with `http://` is spoken to without TLS.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::error::{BackupError, Damage, Result};
use crate::config::backup_url::{BackupUrl, InvalidUrl};
use crate::data_folder::create_private;

const MAX_RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one request with its body, which may be as long as the longest entry.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Objects that are fetched at a time.
const FETCHES: usize = 4;

pub struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    url: String,
    runtime: Runtime,
    /// Of a folder: nothing is written unless one of these files is there.
    beside: Vec<PathBuf>,
    /// So many changes are made before the power goes.
    #[cfg(test)]
    pub changes_left: std::cell::Cell<u64>,
}

/// It shows nothing of credentials.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An object as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Without the folder.
    pub name: String,
    pub bytes: u64,
    /// When it was written, by the store's clock; unix ms.
    pub written_ms: i64,
}

/// An object that is to be read.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: String,
    /// A longer object is not read.
    pub most_bytes: u64,
}

impl Wanted {
    fn checked(&self, got: object_store::Result<Got>) -> Result<Option<Bytes>> {
        match got.map_err(failure("read", &self.name))? {
            Got::Missing => Ok(None),
            Got::Object(bytes) => Ok(Some(bytes)),
            Got::TooLong(bytes) => {
                Err(BackupError::damaged(&self.name, Damage::TooLong { bytes, most: self.most_bytes }))
            }
        }
    }
}

impl Store {
    /// Opens the place that a URL names; a folder is made if it is missing and `create` says so.
    pub fn open(url: &str, create: bool) -> Result<Store> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BackupError::Runtime)?;
        let failed = |source| BackupError::Store { operation: "open", name: url.to_owned(), source };
        let (objects, root): (Arc<dyn ObjectStore>, Path) = match BackupUrl::parse(url)? {
            BackupUrl::Folder(folder) => {
                if create {
                    create_private(&folder).map_err(BackupError::io("create", &folder))?;
                } else if !folder.is_dir() {
                    return Err(BackupError::NoRepository { url: url.to_owned() });
                }
                let store = LocalFileSystem::new_with_prefix(&folder).map_err(failed)?;
                // Unit tests would do little but wait for the disk.
                (Arc::new(store.with_fsync(!cfg!(test))), Path::default())
            }
            BackupUrl::S3 { bucket, prefix } => {
                let root = Path::parse(&prefix)
                    .map_err(|error| InvalidUrl { url: url.to_owned(), reason: error.to_string() })?;
                (Arc::new(s3(&bucket)?.build().map_err(failed)?), root)
            }
        };
        Ok(Store {
            objects,
            root,
            url: url.to_owned(),
            runtime,
            beside: Vec::new(),
            #[cfg(test)]
            changes_left: std::cell::Cell::new(u64::MAX),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on a folder is written to only while one of these objects is in it: the folder of a disk that was taken away stays empty.
    /// An object store has no such folder.
    pub fn write_only_beside(&mut self, names: [&str; 2]) {
        if let Ok(BackupUrl::Folder(folder)) = BackupUrl::parse(&self.url) {
            self.beside = names.map(|name| folder.join(name)).to_vec();
        }
    }

    /// Reads an object; `None` if it is not there.
    ///
    /// # Errors
    /// An object that is longer than it can be is damaged, and not read.
    pub fn get(&self, wanted: &Wanted) -> Result<Option<Bytes>> {
        let got =
            self.runtime.block_on(get(self.objects.clone(), self.path(&wanted.name), wanted.most_bytes));
        wanted.checked(got)
    }

    /// Reads many objects, several at a time, and hands them to `take` in their order, one that is not there as `None` and one that
    /// is too long as an error, until it says to stop. It must not call the store.
    pub fn get_each(
        &self,
        wanted: &[Wanted],
        mut take: impl FnMut(usize, Result<Option<Bytes>>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut coming: VecDeque<JoinHandle<_>> = VecDeque::new();
            let mut ask = wanted.iter();
            for (number, one) in wanted.iter().enumerate() {
                for next in ask.by_ref().take(FETCHES - coming.len()) {
                    let path = self.path(&next.name);
                    coming.push_back(tokio::spawn(get(self.objects.clone(), path, next.most_bytes)));
                }
                let Some(next) = coming.pop_front() else { break };
                let got = next.await.unwrap_or_else(|source| Err(Error::JoinError { source }));
                if take(number, one.checked(got))?.is_break() {
                    break;
                }
            }
            coming.iter().for_each(JoinHandle::abort);
            Ok(())
        })
    }

    /// Writes an object, in place of one of that name.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.before_change()?;
        let path = self.path(name);
        let put = self.runtime.block_on(self.objects.put(&path, bytes.into()));
        put.map(drop).map_err(failure("write", name))
    }

    /// Writes an object unless there is one of that name. False if there was.
    pub fn create(&self, name: &str, bytes: Vec<u8>) -> Result<bool> {
        self.before_change()?;
        let path = self.path(name);
        let options = PutOptions::from(PutMode::Create);
        match self.runtime.block_on(self.objects.put_opts(&path, bytes.clone().into(), options)) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            // A store that has no such thing.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => match self.has(name)? {
                true => Ok(false),
                false => self.put(name, bytes).map(|()| true),
            },
            Err(error) => Err(failure("write", name)(error)),
        }
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.length(name)?.is_some())
    }

    /// How many bytes an object has; `None` if it is not there.
    pub fn length(&self, name: &str) -> Result<Option<u64>> {
        match self.runtime.block_on(self.objects.head(&self.path(name))) {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure("look at", name)(error)),
        }
    }

    /// Some bytes of an object.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let got = self.runtime.block_on(self.objects.get_range(&self.path(name), range));
        got.map_err(failure("read", name))
    }

    /// Removes an object, if it is there.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.before_change()?;
        let path = self.path(name);
        match self.runtime.block_on(self.objects.delete(&path)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure("remove", name)(error)),
        }
    }

    /// What is in a folder, by name.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let path = self.path(folder);
        let listed = self.runtime.block_on(self.objects.list_with_delimiter(Some(&path)));
        let objects = listed.map_err(failure("list", folder))?.objects;
        let mut all: Vec<Listed> = objects
            .into_iter()
            .filter_map(|object| {
                let name = object.location.filename()?.to_owned();
                Some(Listed { name, bytes: object.size, written_ms: object.last_modified.timestamp_millis() })
            })
            .collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn before_change(&self) -> Result<()> {
        if !self.beside.is_empty() && !self.beside.iter().any(|path| path.exists()) {
            return Err(BackupError::NoRepository { url: self.url.clone() });
        }
        self.count_change()
    }

    #[cfg(not(test))]
    fn count_change(&self) -> Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn count_change(&self) -> Result<()> {
        match self.changes_left.get().checked_sub(1) {
            Some(left) => {
                self.changes_left.set(left);
                Ok(())
            }
            None => Err(BackupError::Node { reason: "the power is gone".to_owned() }),
        }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }
}

/// An object, or why there is none.
enum Got {
    Missing,
    TooLong(u64),
    Object(Bytes),
}

/// Its length is known before its first byte comes.
async fn get(objects: Arc<dyn ObjectStore>, path: Path, most_bytes: u64) -> object_store::Result<Got> {
    match objects.get(&path).await {
        Ok(found) if found.meta.size > most_bytes => Ok(Got::TooLong(found.meta.size)),
        Ok(found) => found.bytes().await.map(Got::Object),
        Err(Error::NotFound { .. }) => Ok(Got::Missing),
        Err(error) => Err(error),
    }
}

fn failure(operation: &'static str, name: &str) -> impl FnOnce(Error) -> BackupError {
    move |source| BackupError::Store { operation, name: name.to_owned(), source }
}

fn s3(bucket: &str) -> Result<AmazonS3Builder> {
    // The first one that is installed stays; all would be this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoint.iter().find_map(|key| builder.get_config_value(key));
    if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| endpoint.contains('@')) {
        let reason = "AWS_ENDPOINT_URL holds no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY do";
        return Err(InvalidUrl::new(endpoint, reason).into());
    }
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(is_plain);
    Ok(builder.with_client_options(client).with_retry(RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_and_go_as_a_whole() -> Result<()> {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let url = format!("file://{}/new", folder.path().display());
        let wanted = |name: &str| Wanted { name: name.to_owned(), most_bytes: 5 };
        assert!(matches!(Store::open(&url, false), Err(BackupError::NoRepository { .. })));
        let store = Store::open(&url, true)?;
        assert!(store.list("log")?.is_empty() && store.get(&wanted("log/a"))?.is_none());
        store.put("log/b", b"two".to_vec())?;
        store.put("log/a", b"one".to_vec())?;
        store.put("log/a", b"three".to_vec())?;
        assert!(store.create("c", b"c".to_vec())? && !store.create("c", b"d".to_vec())?);
        assert_eq!(store.get(&wanted("c"))?.as_deref(), Some(&b"c"[..]));
        let listed: Vec<_> = store.list("log")?.into_iter().map(|one| (one.name, one.bytes)).collect();
        assert_eq!(listed, [("a".to_owned(), 5), ("b".to_owned(), 3)]);
        let names = ["log/a", "x", "log/b", "c", "y", "log/a"].map(wanted);
        let mut got = Vec::new();
        store.get_each(&names, |number, bytes| {
            got.push((number, bytes?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())));
            Ok(ControlFlow::Continue(()))
        })?;
        let texts = [Some("three"), None, Some("two"), Some("c"), None, Some("three")];
        assert_eq!(
            got,
            texts.map(|text| text.map(str::to_owned)).into_iter().enumerate().collect::<Vec<_>>()
        );
        store.delete("log/a")?;
        store.delete("log/a")?;
        assert_eq!(store.list("log")?.len(), 1);
        Ok(())
    }

    #[test]
    fn an_object_of_6_gib_is_refused_by_its_length() -> Result<()> {
        let folder = tempfile::tempdir().expect("tests have a folder for temporary files");
        let store = Store::open(&format!("file://{}", folder.path().display()), true)?;
        let file = std::fs::File::create(folder.path().join("huge")).expect("the folder is there");
        file.set_len(6 << 30).expect("it has holes only");
        let wanted = Wanted { name: "huge".to_owned(), most_bytes: 1 << 30 };
        let damage = |result: Result<Option<Bytes>>| match result {
            Err(BackupError::Damaged { damage, .. }) => Some(damage),
            _ => None,
        };
        let expected = Some(Damage::TooLong { bytes: 6 << 30, most: 1 << 30 });
        assert_eq!(damage(store.get(&wanted)), expected);
        store.get_each(&[wanted], |_, got| {
            assert_eq!(damage(got), expected);
            Ok(ControlFlow::Continue(()))
        })
    }
}
