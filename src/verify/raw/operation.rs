//! Keys made, and keys at work.

use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CK_ULONG, CKR_BUFFER_TOO_SMALL, CKR_OK};

use super::native::Native;
use super::{MOST_OUTPUT, Module, fault, input, length, one, status, template};
use crate::verify::wire::{Attribute, Bytes, Mechanism, Operation, Reply};

/// How much longer than the input an output may be at the first try: a signature, a padded block.
const ROOM: usize = 16_384;

impl Module {
    /// `C_GenerateKey`
    pub(in crate::verify) fn generate(
        &mut self,
        session: u64,
        mechanism: &Mechanism,
        attributes: &[Attribute],
    ) -> Reply {
        let mut native = Native::new(mechanism);
        let mut wanted = template(attributes);
        let (how, to, count) = (native.pointer(), wanted.as_mut_ptr(), length(wanted.len()));
        let mut key = 0;
        let result = &raw mut key;
        // SAFETY: mechanism and template outlive the call.
        let rv = self.call("C_GenerateKey", |list| {
            list.C_GenerateKey.map(|f| unsafe { f(session, how, to, count, result) })
        });
        one(rv, key)
    }

    /// `C_GenerateKeyPair`; gives the public key's handle, then the private key's.
    pub(in crate::verify) fn generate_pair(
        &mut self,
        session: u64,
        mechanism: &Mechanism,
        halves: (&[Attribute], &[Attribute]),
    ) -> Reply {
        let mut native = Native::new(mechanism);
        let (mut public, mut private) = (template(halves.0), template(halves.1));
        let how = native.pointer();
        let (to_public, public_count) = (public.as_mut_ptr(), length(public.len()));
        let (to_private, private_count) = (private.as_mut_ptr(), length(private.len()));
        let (mut first, mut second) = (0, 0);
        let (first_to, second_to) = (&raw mut first, &raw mut second);
        let call = |list: &CK_FUNCTION_LIST| {
            // SAFETY: mechanism and templates outlive the call.
            list.C_GenerateKeyPair.map(|f| unsafe {
                f(
                    session,
                    how,
                    to_public,
                    public_count,
                    to_private,
                    private_count,
                    first_to,
                    second_to,
                )
            })
        };
        let rv = self.call("C_GenerateKeyPair", call);
        let numbers = if rv == CKR_OK { vec![first, second] } else { Vec::new() };
        Reply { rv, numbers, ..Reply::default() }
    }

    /// `C_…Init`
    pub(in crate::verify) fn begin(
        &mut self,
        session: u64,
        operation: Operation,
        mechanism: &Mechanism,
        key: u64,
    ) -> Reply {
        let mut native = Native::new(mechanism);
        let how = native.pointer();
        let call = |list: &CK_FUNCTION_LIST| {
            // SAFETY: the mechanism is held until the operation is over.
            unsafe {
                match operation {
                    Operation::Encrypt => list.C_EncryptInit.map(|f| f(session, how, key)),
                    Operation::Decrypt => list.C_DecryptInit.map(|f| f(session, how, key)),
                    Operation::Sign => list.C_SignInit.map(|f| f(session, how, key)),
                    Operation::Digest => list.C_DigestInit.map(|f| f(session, how)),
                }
            }
        };
        let rv = self.call(operation.init(), call);
        self.held = Some(native);
        status(rv)
    }

    /// The operation at once.
    pub(in crate::verify) fn perform(
        &mut self,
        session: u64,
        operation: Operation,
        data: &[u8],
    ) -> Reply {
        let (from, bytes) = input(data);
        let function = |list: &CK_FUNCTION_LIST| match operation {
            Operation::Encrypt => list.C_Encrypt,
            Operation::Decrypt => list.C_Decrypt,
            Operation::Sign => list.C_Sign,
            Operation::Digest => list.C_Digest,
        };
        let reply = self.output(operation.perform(), data.len(), |list, to, room| {
            // SAFETY: `to` has the room that `room` names.
            function(list).map(|f| unsafe { f(session, from, bytes, to, room) })
        });
        Reply { iv: self.held.as_ref().and_then(Native::iv), ..reply }
    }

    /// Gives room for an output, more where the module asks for more, and checks its length.
    fn output(
        &mut self,
        name: &str,
        given: usize,
        function: impl Fn(&CK_FUNCTION_LIST, *mut u8, *mut CK_ULONG) -> Option<CK_RV>,
    ) -> Reply {
        let mut room = given.saturating_add(ROOM);
        for _ in 0..2 {
            let mut buffer = vec![0_u8; room];
            let mut filled = length(room);
            let (to, count) = (buffer.as_mut_ptr(), &raw mut filled);
            let rv = self.call(name, |list| function(list, to, count));
            let bytes = usize::try_from(filled).unwrap_or(usize::MAX);
            if rv == CKR_BUFFER_TOO_SMALL && bytes > room && bytes <= MOST_OUTPUT {
                room = bytes;
                continue;
            }
            if rv != CKR_OK {
                return status(rv);
            }
            if bytes > room {
                return fault(format!("{name} returned a length of {filled} for {room} bytes"));
            }
            buffer.truncate(bytes);
            return Reply { bytes: Some(Bytes::new(buffer)), ..Reply::default() };
        }
        fault(format!("{name} finds no buffer long enough"))
    }

    /// `C_WrapKey`
    pub(in crate::verify) fn wrap(
        &mut self,
        session: u64,
        mechanism: &Mechanism,
        by: u64,
        key: u64,
    ) -> Reply {
        let mut native = Native::new(mechanism);
        let how = native.pointer();
        self.output("C_WrapKey", 0, |list, to, room| {
            // SAFETY: `to` has the room that `room` names; the mechanism outlives the call.
            list.C_WrapKey.map(|f| unsafe { f(session, how, by, key, to, room) })
        })
    }

    /// `C_UnwrapKey`
    pub(in crate::verify) fn unwrap(
        &mut self,
        session: u64,
        mechanism: &Mechanism,
        by: u64,
        (wrapped, attributes): (&[u8], &[Attribute]),
    ) -> Reply {
        let mut native = Native::new(mechanism);
        let mut wanted = template(attributes);
        let (how, to, count) = (native.pointer(), wanted.as_mut_ptr(), length(wanted.len()));
        let (from, bytes) = input(wrapped);
        let mut key = 0;
        let result = &raw mut key;
        // SAFETY: mechanism, input and template outlive the call.
        let rv = self.call("C_UnwrapKey", |list| {
            list.C_UnwrapKey.map(|f| unsafe { f(session, how, by, from, bytes, to, count, result) })
        });
        one(rv, key)
    }
}
