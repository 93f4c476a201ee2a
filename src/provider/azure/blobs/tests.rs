use super::super::super::objects::kit::{Shelf, run};
use super::super::super::source::{History, Item};
use super::*;

const NOW: (Option<&str>, &str) = (None, "2020-01-20T12:00:00Z");

const VAULT: &str =
    "resourceId=/SUBSCRIPTIONS/ABC/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V";

fn blob(resource: &str, hour: u8) -> String {
    format!("{resource}/y=2020/m=01/d=20/h={hour:02}/m=00/PT1H.json")
}

#[tokio::test]
async fn resources_with_keys_and_subscriptions_are_found_and_others_are_left() {
    let shelf = Shelf::new();
    let hsm = "resourceId=/SUBSCRIPTIONS/ABC/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.HARDWARESECURITYMODULES/CLOUDHSMCLUSTERS/H";
    let other = "resourceId=/SUBSCRIPTIONS/ABC/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.WEB/SITES/S";
    let subscription = "resourceId=/SUBSCRIPTIONS/ABC";
    for resource in [VAULT, hsm, other, subscription] {
        shelf.put(&blob(resource, 9), "{\"a\":1}\n").await;
    }
    let mut source = shelf.source("az://a/c", BlobsLayout { named: false });
    let run = run(&mut source, &mut History::default(), NOW).await;
    let mut found = run.addresses();
    found.sort_unstable();
    let mut expected = [VAULT, hsm, subscription].map(|one| format!("az://a/c/{}", blob(one, 9)));
    expected.sort();
    assert_eq!(found, expected);
    for item in run.batches.iter().flat_map(|batch| &batch.items) {
        let Item::Object { context, .. } = item else { panic!("{item:?}") };
        assert_eq!(context.account.as_deref(), Some("abc"));
    }
}

#[tokio::test]
async fn an_earlier_hour_that_is_written_late_is_read() {
    let shelf = Shelf::new();
    let (mut source, mut history) =
        (shelf.source("az://a/c", BlobsLayout { named: false }), History::default());
    shelf.put(&blob(VAULT, 8), "{\"a\":1}\n").await;
    run(&mut source, &mut history, NOW).await;
    shelf.put(&blob(VAULT, 0), "{\"b\":2}\n").await;
    let second = run(&mut source, &mut history, NOW).await;
    assert_eq!(second.addresses(), [format!("az://a/c/{}", blob(VAULT, 0))]);
    assert_eq!(history.cursors.last().unwrap()["objects"][0]["offset"], 8);
}

#[test]
fn each_cloud_of_microsoft_has_its_own_host() {
    assert_eq!(host("a", AzureCloud::China), "https://a.blob.core.chinacloudapi.cn");
    assert_eq!(host("a", AzureCloud::UsGov), "https://a.blob.core.usgovcloudapi.net");
}
