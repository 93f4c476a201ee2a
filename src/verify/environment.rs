//! Which variables of the environment a module gets to see: those that say where its configuration
//! is, and no others. Credentials and `LD_PRELOAD` stay outside.

use std::collections::BTreeMap;

/// Variables that any module may need.
const COMMON: &[&str] = &["HOME", "LANG", "LC_ALL", "TZ", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

/// Variables of the modules that are known, by name or by the beginning of their name (`*`).
const MODULES: &[&str] = &[
    // SoftHSM, kryoptic, NSS, opencryptoki, tpm2-pkcs11
    "SOFTHSM2_CONF",
    "KRYOPTIC_CONF",
    "NSS_*",
    "OCK_*",
    "PKCS11_*_CONFIG",
    "TPM2_PKCS11_*",
    // pkcs11-spy and p11-kit, which stand before another module
    "PKCS11SPY",
    "PKCS11SPY_OUTPUT",
    "P11_KIT_SERVER_ADDRESS",
    // Google Cloud KMS, and the credentials without which it cannot work
    "KMS_PKCS11_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HTTPS_PROXY",
    "NO_PROXY",
    // Luna, nShield, Utimaco, Fortanix
    "ChrystokiConfigurationPath",
    "CKNFAST_*",
    "NFAST_*",
    "CS_PKCS11_R*_CFG",
    "FORTANIX_*",
];

/// Chooses from all variables those that a module gets: the known ones and what the policy names in
/// the same way (`FOO`, `FOO_*`). What would load other code into the worker is never among them.
pub fn environment(
    all: impl IntoIterator<Item = (String, String)>,
    more: &[String],
) -> BTreeMap<String, String> {
    let patterns = || COMMON.iter().chain(MODULES).copied().chain(more.iter().map(String::as_str));
    let wanted =
        |name: &str| !name.starts_with("LD_") && patterns().any(|pattern| matches(pattern, name));
    all.into_iter().filter(|(name, _)| wanted(name)).collect()
}

/// Whether a name fits a pattern with at most one `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        }
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_preloads_stay_outside() {
        let all =
            ["SOFTHSM2_CONF", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "TPM2_PKCS11_STORE", "MINE"];
        let all = all.map(|name| (name.to_owned(), "x".to_owned()));
        let more = ["MINE".to_owned(), "LD_*".to_owned(), "*".to_owned()];
        let got: Vec<String> = environment(all.clone(), &more[..2]).into_keys().collect();
        assert_eq!(got, ["MINE", "SOFTHSM2_CONF", "TPM2_PKCS11_STORE"]);
        assert!(!environment(all, &more).contains_key("LD_PRELOAD"));
    }
}
