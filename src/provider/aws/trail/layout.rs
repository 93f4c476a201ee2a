//! Where trails lie in a bucket.

use async_trait::async_trait;

use super::super::super::Context;
use super::super::super::bucket::Bucket;
use super::super::super::objects::{Days, Found, Layout, Place, Role};
use super::super::super::source::{Note, SourceError};
use super::TrailConfig;
use crate::event::Provider;

/// Finds accounts and regions by listing.
#[derive(Debug)]
pub(super) struct TrailLayout {
    prefix: String,
    organizations: Vec<String>,
    accounts: Vec<String>,
    regions: Vec<String>,
    digests: bool,
}

impl TrailLayout {
    pub(super) fn new(config: &TrailConfig) -> Self {
        Self {
            prefix: config.prefix.trim_matches('/').to_owned(),
            organizations: config.organizations.clone(),
            accounts: config.accounts.clone(),
            regions: config.regions.clone(),
            digests: config.digests,
        }
    }

    /// The folders `AWSLogs`: below the prefix, and below an organization's id that stands before
    /// it, as landing zones write it.
    async fn roots(&self, bucket: &Bucket) -> Result<Vec<String>, SourceError> {
        let mut roots = Vec::new();
        for folder in bucket.folders(&self.prefix).await? {
            let path = join(&self.prefix, &folder);
            if folder == "AWSLogs" {
                roots.push(path);
            } else if self.is_organization(&folder)
                && bucket.folders(&path).await?.iter().any(|inner| inner == "AWSLogs")
            {
                roots.push(join(&path, "AWSLogs"));
            }
        }
        Ok(roots)
    }

    /// The folders of accounts below `AWSLogs`, with or without an organization's id before them,
    /// or twice.
    async fn accounts(&self, bucket: &Bucket) -> Result<Vec<(String, String)>, SourceError> {
        let mut accounts = Vec::new();
        let mut folders: Vec<_> =
            self.roots(bucket).await?.into_iter().map(|root| (root, 0)).collect();
        while let Some((folder, depth)) = folders.pop() {
            for name in bucket.folders(&folder).await? {
                let path = join(&folder, &name);
                if is_account(&name) {
                    // With organizations named, what lies outside of them is not asked for.
                    let inside = depth > 0 || self.organizations.is_empty();
                    if inside && is_wanted(&self.accounts, &name) {
                        accounts.push((name, path));
                    }
                } else if depth < 2 && self.is_organization(&name) {
                    folders.push((path, depth + 1));
                }
            }
        }
        accounts.sort();
        Ok(accounts)
    }

    fn is_organization(&self, name: &str) -> bool {
        name.starts_with("o-") && is_wanted(&self.organizations, name)
    }

    async fn regions(
        &self,
        bucket: &Bucket,
        (account, folder): (&str, &str),
        role: Role,
    ) -> Result<Vec<Place>, SourceError> {
        let names = bucket.folders(folder).await?;
        let wanted = names.iter().filter(|name| is_region(name) && is_wanted(&self.regions, name));
        let place = |region: &String| Place {
            prefix: join(folder, region),
            role,
            days: Days::Plain,
            context: Context {
                account: Some(account.to_owned()),
                region: Some(region.clone()),
                ..Context::default()
            },
        };
        Ok(wanted.map(place).collect())
    }

    fn missing(&self, bucket: &Bucket, found: &[(String, String)]) -> Vec<Note> {
        let known = |account: &&String| found.iter().any(|(name, _)| name == *account);
        let absent = self.accounts.iter().filter(|account| !known(account));
        let note = |account: &String| Note {
            message: format!("{} holds nothing of account {account}", bucket.address()),
            hint: Some("check the trail, its bucket and `prefix`".to_owned()),
        };
        absent.map(note).collect()
    }
}

#[async_trait]
impl Layout for TrailLayout {
    fn provider(&self) -> Provider {
        Provider::Aws
    }

    async fn places(&self, bucket: &Bucket) -> Result<Found, SourceError> {
        let accounts = self.accounts(bucket).await?;
        let mut found = Found { notes: self.missing(bucket, &accounts), ..Found::default() };
        let kinds = [("CloudTrail", Role::Log), ("CloudTrail-Digest", Role::Digest)];
        for (account, folder) in &accounts {
            for name in bucket.folders(folder).await? {
                let Some((_, role)) = kinds.iter().find(|(kind, _)| *kind == name) else {
                    continue;
                };
                if *role == Role::Log || self.digests {
                    let folder = join(folder, &name);
                    let places = self.regions(bucket, (account, &folder), *role).await?;
                    found.places.extend(places);
                }
            }
        }
        Ok(found)
    }

    fn is_file(&self, role: Role, name: &str) -> bool {
        let kind = if role == Role::Digest { "_CloudTrail-Digest_" } else { "_CloudTrail_" };
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        name.contains(kind) && plain.strip_suffix(".json").is_some()
    }

    fn caveat(&self, bucket: &Bucket) -> Note {
        let hint = if self.digests {
            "what is covered is what the digest files prove"
        } else {
            "set `digests = true`, and log file validation on the trail"
        };
        Note {
            message: format!(
                "listing {} does not show what was never delivered to it: reading it covers nothing",
                bucket.address()
            ),
            hint: Some(hint.to_owned()),
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn is_account(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_region(name: &str) -> bool {
    name.contains('-') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
}

#[cfg(test)]
mod tests;
