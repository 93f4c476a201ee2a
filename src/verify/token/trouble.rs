//! How a call can go wrong, and what that means for a check.

use cryptoki_sys::{
    CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_CURVE_NOT_SUPPORTED,
    CKR_DOMAIN_PARAMS_INVALID, CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_SIZE_RANGE,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_TEMPLATE_INCONSISTENT,
};

use crate::verify::names;
use crate::verify::process::Lost;

/// A call, or what surrounds it, that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The module returned something other than `CKR_OK`.
    #[error("{function} returned {}", names::rv(*rv))]
    Refused {
        /// Which function.
        function: String,
        /// What it returned.
        rv: u64,
    },
    /// The module did what the standard forbids.
    #[error("{function} misbehaved: {what}")]
    Broken {
        /// Which function.
        function: String,
        /// What it did.
        what: String,
    },
    /// The worker is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The token does not have what the check needs.
    #[error("{0}")]
    Missing(String),
    /// The check could not come to a verdict.
    #[error("{0}")]
    Unclear(String),
}

/// Return values that say that a token cannot do something, not that it will not.
pub(in crate::verify) const UNSUPPORTED: &[u64] = &[
    CKR_FUNCTION_NOT_SUPPORTED,
    CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_CURVE_NOT_SUPPORTED,
    CKR_DOMAIN_PARAMS_INVALID,
    CKR_KEY_SIZE_RANGE,
];

impl Trouble {
    /// Whether the token lacks what was asked of it.
    pub(in crate::verify) fn unsupported(&self) -> bool {
        match self {
            Self::Refused { rv, .. } => UNSUPPORTED.contains(rv),
            Self::Missing(_) => true,
            Self::Broken { .. } | Self::Lost(_) | Self::Unclear(_) => false,
        }
    }

    /// The function and its return value, as far as there are any.
    pub(in crate::verify) fn place(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Refused { function, rv } => (Some(function.clone()), Some(names::rv(*rv))),
            Self::Broken { function, .. } => (Some(function.clone()), None),
            Self::Lost(lost) => (lost.function().map(str::to_owned), None),
            Self::Missing(_) | Self::Unclear(_) => (None, None),
        }
    }
}
