//! The URL of a place for backups: `file:///folder` or `s3://bucket/prefix`.

use std::path::PathBuf;

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub enum BackupUrl {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

/// Why a URL names no place for backups.
#[derive(Debug, thiserror::Error)]
#[error("'{url}' is no place for backups: {reason}")]
pub struct InvalidUrl {
    /// Without credentials.
    pub url: String,
    pub reason: String,
}

impl InvalidUrl {
    pub fn new(url: &str, reason: impl Into<String>) -> InvalidUrl {
        InvalidUrl { url: without_credentials(url), reason: reason.into() }
    }
}

impl BackupUrl {
    pub fn parse(url: &str) -> Result<BackupUrl, InvalidUrl> {
        let refused = |reason: &str| InvalidUrl::new(url, reason);
        if let Some(path) = url.strip_prefix("file://") {
            return match path.starts_with('/') && path.len() > 1 {
                true => Ok(BackupUrl::Folder(PathBuf::from(path))),
                false => Err(refused("file:// is followed by an absolute path")),
            };
        }
        let rest =
            url.strip_prefix("s3://").ok_or_else(|| refused("it is file:///folder or s3://bucket/prefix"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refused("a bucket is missing"));
        }
        if bucket.contains(['@', ':']) {
            return Err(refused("credentials come from the environment, where no message shows them"));
        }
        Ok(BackupUrl::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() })
    }
}

/// A URL as a message may show it.
fn without_credentials(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, place)) => format!("{scheme}://…@{place}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_folder_or_a_bucket() {
        let s3 = |bucket: &str, prefix: &str| BackupUrl::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (url, place) in [
            ("file:///var/backups", BackupUrl::Folder("/var/backups".into())),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/some/where/", s3("bucket", "some/where")),
        ] {
            assert_eq!(BackupUrl::parse(url).expect("a place"), place);
        }
        for url in ["/var/backups", "file://backups", "file:///", "s3:///x", "http://host/x", ""] {
            assert!(BackupUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused_and_they_are_not_shown() {
        for url in ["s3://id:hush@bucket/x", "http://id:hush@host/x", "s3://hush@bucket"] {
            let refusal = BackupUrl::parse(url).expect_err("it has credentials").to_string();
            assert!(!refusal.contains("hush") && refusal.contains("…@"), "{refusal}");
        }
    }
}
