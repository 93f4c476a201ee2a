//! Names of the numbers that PKCS #11 uses: return values, mechanisms, attributes, key types, and
//! the bits of flags. A number without a name keeps its number; none is dropped.

mod attribute;
mod key_type;
mod mechanism;
mod rv;

use cryptoki_sys::{
    CKF_CLOCK_ON_TOKEN, CKF_DECRYPT, CKF_DERIVE, CKF_DIGEST, CKF_ENCRYPT, CKF_ERROR_STATE,
    CKF_GENERATE, CKF_GENERATE_KEY_PAIR, CKF_HW, CKF_LOGIN_REQUIRED,
    CKF_PROTECTED_AUTHENTICATION_PATH, CKF_RNG, CKF_SIGN, CKF_SO_PIN_COUNT_LOW,
    CKF_SO_PIN_FINAL_TRY, CKF_SO_PIN_LOCKED, CKF_SO_PIN_TO_BE_CHANGED, CKF_TOKEN_INITIALIZED,
    CKF_UNWRAP, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_INITIALIZED,
    CKF_USER_PIN_LOCKED, CKF_USER_PIN_TO_BE_CHANGED, CKF_VERIFY, CKF_WRAP, CKF_WRITE_PROTECTED,
};

/// Numbers from here on are the vendor's own.
const VENDOR: u64 = 0x8000_0000;

/// Defines `NAMES`, the sorted table of a file: each constant beside its own name.
macro_rules! table {
    ($($name:ident),* $(,)?) => {
        /// Numbers and names, by number.
        pub(super) const NAMES: &[(u64, &str)] = &[$((cryptoki_sys::$name, stringify!($name))),*];
    };
}
use table;

fn name(table: &[(u64, &'static str)], number: u64) -> Option<&'static str> {
    let at = table.binary_search_by_key(&number, |entry| entry.0).ok()?;
    table.get(at).map(|entry| entry.1)
}

fn shown(table: &[(u64, &'static str)], kind: &str, number: u64) -> String {
    match name(table, number) {
        Some(name) => name.to_owned(),
        None if (VENDOR..=0xffff_ffff).contains(&number) => {
            format!("{kind}_VENDOR_DEFINED+{:#x}", number - VENDOR)
        }
        None => format!("{kind}_{number:#x}"),
    }
}

/// Names a return value: `CKR_OK`, `CKR_VENDOR_DEFINED+0x3`, `CKR_0xdeadbeefcafe`.
pub(super) fn rv(number: u64) -> String {
    shown(rv::NAMES, "CKR", number)
}

/// Names a mechanism.
pub(super) fn mechanism(number: u64) -> String {
    shown(mechanism::NAMES, "CKM", number)
}

/// Names an attribute.
pub(super) fn attribute(number: u64) -> String {
    shown(attribute::NAMES, "CKA", number)
}

/// Names a key type.
pub(super) fn key_type(number: u64) -> String {
    shown(key_type::NAMES, "CKK", number)
}

/// The bits of a token's flags.
const TOKEN_FLAGS: &[(u64, &str)] = &[
    (CKF_RNG, "RNG"),
    (CKF_WRITE_PROTECTED, "WRITE_PROTECTED"),
    (CKF_LOGIN_REQUIRED, "LOGIN_REQUIRED"),
    (CKF_USER_PIN_INITIALIZED, "USER_PIN_INITIALIZED"),
    (CKF_CLOCK_ON_TOKEN, "CLOCK_ON_TOKEN"),
    (CKF_PROTECTED_AUTHENTICATION_PATH, "PROTECTED_AUTHENTICATION_PATH"),
    (CKF_TOKEN_INITIALIZED, "TOKEN_INITIALIZED"),
    (CKF_USER_PIN_COUNT_LOW, "USER_PIN_COUNT_LOW"),
    (CKF_USER_PIN_FINAL_TRY, "USER_PIN_FINAL_TRY"),
    (CKF_USER_PIN_LOCKED, "USER_PIN_LOCKED"),
    (CKF_USER_PIN_TO_BE_CHANGED, "USER_PIN_TO_BE_CHANGED"),
    (CKF_SO_PIN_COUNT_LOW, "SO_PIN_COUNT_LOW"),
    (CKF_SO_PIN_FINAL_TRY, "SO_PIN_FINAL_TRY"),
    (CKF_SO_PIN_LOCKED, "SO_PIN_LOCKED"),
    (CKF_SO_PIN_TO_BE_CHANGED, "SO_PIN_TO_BE_CHANGED"),
    (CKF_ERROR_STATE, "ERROR_STATE"),
];

/// The bits of a mechanism's flags.
const MECHANISM_FLAGS: &[(u64, &str)] = &[
    (CKF_HW, "HW"),
    (CKF_ENCRYPT, "ENCRYPT"),
    (CKF_DECRYPT, "DECRYPT"),
    (CKF_DIGEST, "DIGEST"),
    (CKF_SIGN, "SIGN"),
    (CKF_VERIFY, "VERIFY"),
    (CKF_GENERATE, "GENERATE"),
    (CKF_GENERATE_KEY_PAIR, "GENERATE_KEY_PAIR"),
    (CKF_WRAP, "WRAP"),
    (CKF_UNWRAP, "UNWRAP"),
    (CKF_DERIVE, "DERIVE"),
];

fn bits(table: &[(u64, &'static str)], flags: u64) -> Vec<&'static str> {
    table.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect()
}

/// Names the bits of a token's flags that are set and known.
pub(super) fn token_flags(flags: u64) -> Vec<&'static str> {
    bits(TOKEN_FLAGS, flags)
}

/// Names the bits of a mechanism's flags that are set and known.
pub(super) fn mechanism_flags(flags: u64) -> Vec<&'static str> {
    bits(MECHANISM_FLAGS, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_so_that_each_number_finds_its_name() {
        for table in [rv::NAMES, mechanism::NAMES, attribute::NAMES, key_type::NAMES] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    #[test]
    fn a_number_without_name_keeps_its_number() {
        assert_eq!(rv(0), "CKR_OK");
        assert_eq!(rv(0x8000_0003), "CKR_VENDOR_DEFINED+0x3");
        assert_eq!(rv(0xdead_beef_cafe), "CKR_0xdeadbeefcafe");
        assert_eq!(mechanism(0x1087), "CKM_AES_GCM");
        assert_eq!(attribute(0x103), "CKA_SENSITIVE");
        assert_eq!(mechanism(0x8000_0170), "CKM_VENDOR_DEFINED+0x170");
    }
}
