//! A mechanism as a module takes it, with what its parameter points to.

use std::ptr;

use cryptoki_sys::{
    CK_AES_CTR_PARAMS, CK_GCM_PARAMS, CK_MECHANISM, CK_RSA_PKCS_OAEP_PARAMS,
    CK_RSA_PKCS_PSS_PARAMS, CKZ_DATA_SPECIFIED,
};

use super::length;
use crate::verify::wire::{Bytes, Mechanism, Param};

/// What a parameter is and points to. Boxes and vectors keep their place when this is moved.
enum Held {
    Nothing,
    Bytes(Vec<u8>),
    Gcm { params: Box<CK_GCM_PARAMS>, iv: Option<Vec<u8>>, _aad: Vec<u8> },
    Ctr(Box<CK_AES_CTR_PARAMS>),
    Oaep(Box<CK_RSA_PKCS_OAEP_PARAMS>),
    Pss(Box<CK_RSA_PKCS_PSS_PARAMS>),
}

/// A mechanism and what it points to.
pub(super) struct Native {
    mechanism: Box<CK_MECHANISM>,
    held: Held,
}

impl Native {
    pub(super) fn new(mechanism: &Mechanism) -> Self {
        let mut held = hold(&mechanism.param);
        let (pointer, bytes): (*mut std::ffi::c_void, usize) = match &mut held {
            Held::Nothing => (ptr::null_mut(), 0),
            Held::Bytes(bytes) => (bytes.as_mut_ptr().cast(), bytes.len()),
            Held::Gcm { params, .. } => boxed(params),
            Held::Ctr(params) => boxed(params),
            Held::Oaep(params) => boxed(params),
            Held::Pss(params) => boxed(params),
        };
        let mechanism = Box::new(CK_MECHANISM {
            mechanism: mechanism.kind,
            pParameter: pointer,
            ulParameterLen: length(bytes),
        });
        Self { mechanism, held }
    }

    pub(super) fn pointer(&mut self) -> *mut CK_MECHANISM {
        &raw mut *self.mechanism
    }

    /// The initialization vector as it is now: some HSMs choose it themselves and write it back.
    pub(super) fn iv(&self) -> Option<Bytes> {
        match &self.held {
            Held::Gcm { iv: Some(iv), .. } => Some(iv.as_slice().into()),
            _ => None,
        }
    }
}

fn boxed<T>(params: &mut Box<T>) -> (*mut std::ffi::c_void, usize) {
    ((&raw mut **params).cast(), size_of::<T>())
}

fn hold(param: &Param) -> Held {
    match param {
        Param::None => Held::Nothing,
        Param::Iv { iv } => Held::Bytes(iv.0.to_vec()),
        Param::Gcm { iv, aad, tag_bits } => gcm(iv.as_ref(), aad, *tag_bits),
        Param::Ctr { block } => {
            let mut cb = [0; 16];
            cb.iter_mut().zip(block.0.iter()).for_each(|(to, from)| *to = *from);
            Held::Ctr(Box::new(CK_AES_CTR_PARAMS { ulCounterBits: 128, cb }))
        }
        Param::Oaep { hash, mgf } => Held::Oaep(Box::new(CK_RSA_PKCS_OAEP_PARAMS {
            hashAlg: *hash,
            mgf: *mgf,
            source: CKZ_DATA_SPECIFIED,
            pSourceData: ptr::null_mut(),
            ulSourceDataLen: 0,
        })),
        Param::Pss { hash, mgf, salt } => {
            Held::Pss(Box::new(CK_RSA_PKCS_PSS_PARAMS { hashAlg: *hash, mgf: *mgf, sLen: *salt }))
        }
    }
}

fn gcm(iv: Option<&Bytes>, aad: &Bytes, tag_bits: u64) -> Held {
    let mut iv = iv.map(|iv| iv.0.to_vec());
    let mut aad = aad.0.to_vec();
    let bytes = length(iv.as_ref().map_or(12, Vec::len));
    let params = Box::new(CK_GCM_PARAMS {
        pIv: iv.as_mut().map_or(ptr::null_mut(), Vec::as_mut_ptr),
        ulIvLen: bytes,
        ulIvBits: bytes.saturating_mul(8),
        pAAD: if aad.is_empty() { ptr::null_mut() } else { aad.as_mut_ptr() },
        ulAADLen: length(aad.len()),
        ulTagBits: tag_bits,
    });
    Held::Gcm { params, iv, _aad: aad }
}
