//! What stands above a project, and the policies of both.

use serde_json::{Value, json};

use super::super::Json as _;
use super::super::source::SourceError;
use super::api::{self, Api, What, is_plain_name};

/// More levels above a project than Google allows.
const DEEPEST: usize = 20;

/// Folders and organization above `project`, nearest first: `folders/1`, `organizations/2`.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn ancestors(manager: &Api, project: &str) -> Result<Vec<String>, SourceError> {
    let call = format!("cloudresourcemanager getAncestry of projects/{project}");
    let what = What::new(call, "resourcemanager.projects.get");
    let path = format!("/v1/projects/{project}:getAncestry");
    let answer = api::object(&what, &manager.post(&what, &path, &json!({})).await?)?;
    let levels = answer.items(&["ancestor"]);
    if levels.is_empty() || levels.len() > DEEPEST {
        return Err(SourceError::content(&what.call, "no ancestry"));
    }
    let mut above = Vec::new();
    for level in levels {
        let name = match (level.text(&["resourceId", "type"]), level.text(&["resourceId", "id"])) {
            (Some("project"), _) => continue,
            (Some("folder"), Some(id)) => format!("folders/{id}"),
            (Some("organization"), Some(id)) => format!("organizations/{id}"),
            _ => return Err(SourceError::content(&what.call, "an unknown kind of ancestor")),
        };
        if !is_plain_name(&name) {
            return Err(SourceError::content(&what.call, "an odd name of an ancestor"));
        }
        above.push(name);
    }
    Ok(above)
}

/// The policy of a project, folder or organization, named as a resource.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn policy(manager: &Api, resource: &str) -> Result<Value, SourceError> {
    let permission = match resource.split('/').next() {
        Some("folders") => "resourcemanager.folders.getIamPolicy",
        Some("organizations") => "resourcemanager.organizations.getIamPolicy",
        _ => "resourcemanager.projects.getIamPolicy",
    };
    let what = What::new(format!("cloudresourcemanager getIamPolicy of {resource}"), permission);
    let body = json!({"options": {"requestedPolicyVersion": 3}});
    let answer = manager.post(&what, &format!("/v3/{resource}:getIamPolicy"), &body).await?;
    api::object(&what, &answer)
}
