//! Library, slots, tokens, mechanisms, sessions.

use std::ptr;

use cryptoki_sys::{
    CK_FLAGS, CK_INFO, CK_INTERFACE, CK_MECHANISM_INFO, CK_TOKEN_INFO, CK_TRUE, CK_ULONG,
    CK_USER_TYPE, CK_VERSION, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKR_BUFFER_TOO_SMALL, CKR_OK,
    Pkcs11,
};

use super::{Module, fault, input, length, one, status};
use crate::verify::wire::{Library, MechanismInfo, Reply, TokenInfo};

/// More slots or mechanisms than any module has.
const MOST_LISTED: usize = 65_536;

impl Module {
    /// The version of the default interface, where the library has such a function.
    pub(super) fn interface_of(&mut self, library: &Pkcs11) -> Option<String> {
        let get = library.C_GetInterface.as_ref().ok()?;
        let mut interface: *mut CK_INTERFACE = ptr::null_mut();
        // SAFETY: null asks for the default; `interface` is ours.
        let rv = unsafe { get(ptr::null_mut(), ptr::null_mut(), &raw mut interface, 0) };
        self.note("C_GetInterface", rv);
        if rv != CKR_OK || interface.is_null() {
            return None;
        }
        // SAFETY: the module says that an interface is there.
        let list = unsafe { (*interface).pFunctionList };
        if list.is_null() {
            return None;
        }
        // SAFETY: every function list begins with its version.
        Some(version(unsafe { *list.cast::<CK_VERSION>() }))
    }

    /// `C_GetInfo`
    pub(in crate::verify) fn info(&mut self) -> Reply {
        let mut info = CK_INFO::default();
        let pointer = &raw mut info;
        // SAFETY: `info` is ours.
        let rv = self.call("C_GetInfo", |list| list.C_GetInfo.map(|f| unsafe { f(pointer) }));
        let library = Library {
            cryptoki: version(info.cryptokiVersion),
            interface: self.interface.clone(),
            manufacturer: text(&info.manufacturerID),
            description: text(&info.libraryDescription),
            version: version(info.libraryVersion),
        };
        Reply { rv, library: (rv == CKR_OK).then_some(library), ..Reply::default() }
    }

    /// `C_GetSlotList` of slots with a token.
    pub(in crate::verify) fn slots(&mut self) -> Reply {
        self.listed("C_GetSlotList", |module, to, count| {
            // SAFETY: `to` is null or has room for `count`.
            module.call("C_GetSlotList", |list| {
                list.C_GetSlotList.map(|f| unsafe { f(CK_TRUE, to, count) })
            })
        })
    }

    /// `C_GetMechanismList`
    pub(in crate::verify) fn mechanisms(&mut self, slot: u64) -> Reply {
        self.listed("C_GetMechanismList", |module, to, count| {
            // SAFETY: `to` is null or has room for `count`.
            module.call("C_GetMechanismList", |list| {
                list.C_GetMechanismList.map(|f| unsafe { f(slot, to, count) })
            })
        })
    }

    /// Asks for the count, then for the list.
    fn listed(
        &mut self,
        name: &str,
        get: impl Fn(&mut Self, *mut CK_ULONG, *mut CK_ULONG) -> u64,
    ) -> Reply {
        for _ in 0..3 {
            let mut count: CK_ULONG = 0;
            let rv = get(self, ptr::null_mut(), &raw mut count);
            if rv != CKR_OK {
                return status(rv);
            }
            let Some(room) = usize::try_from(count).ok().filter(|room| *room <= MOST_LISTED) else {
                return fault(format!("{name} counts {count}"));
            };
            let mut numbers = vec![0; room];
            let rv = get(self, numbers.as_mut_ptr(), &raw mut count);
            // Something was added between the two calls.
            if rv == CKR_BUFFER_TOO_SMALL {
                continue;
            }
            let filled = usize::try_from(count).unwrap_or(usize::MAX);
            if filled > room {
                return fault(format!("{name} counts {count} in room for {room}"));
            }
            numbers.truncate(filled);
            return Reply { rv, numbers, ..Reply::default() };
        }
        fault(format!("{name} never fits"))
    }

    /// `C_GetTokenInfo`
    pub(in crate::verify) fn token(&mut self, slot: u64) -> Reply {
        let mut info = CK_TOKEN_INFO::default();
        let pointer = &raw mut info;
        // SAFETY: `info` is ours.
        let call = |list: &cryptoki_sys::CK_FUNCTION_LIST| {
            list.C_GetTokenInfo.map(|f| unsafe { f(slot, pointer) })
        };
        let rv = self.call("C_GetTokenInfo", call);
        let token = TokenInfo {
            label: text(&info.label),
            manufacturer: text(&info.manufacturerID),
            model: text(&info.model),
            serial: text(&info.serialNumber),
            flags: info.flags,
            pin_most: info.ulMaxPinLen,
            pin_least: info.ulMinPinLen,
            hardware: version(info.hardwareVersion),
            firmware: version(info.firmwareVersion),
            utc_time: text(&info.utcTime),
        };
        Reply { rv, token: (rv == CKR_OK).then_some(token), ..Reply::default() }
    }

    /// `C_GetMechanismInfo` of each; those that the module does not tell of are left out.
    pub(in crate::verify) fn mechanism_info(&mut self, slot: u64, kinds: &[u64]) -> Reply {
        let mut reply = Reply::default();
        for kind in kinds {
            let mut info = CK_MECHANISM_INFO::default();
            let pointer = &raw mut info;
            // SAFETY: `info` is ours.
            let rv = self.call("C_GetMechanismInfo", |list| {
                list.C_GetMechanismInfo.map(|f| unsafe { f(slot, *kind, pointer) })
            });
            if rv == CKR_OK {
                reply.mechanisms.push(MechanismInfo {
                    kind: *kind,
                    key_least: info.ulMinKeySize,
                    key_most: info.ulMaxKeySize,
                    flags: info.flags,
                });
            }
        }
        reply
    }

    /// `C_OpenSession`
    pub(in crate::verify) fn open_session(&mut self, slot: u64, write: bool) -> Reply {
        let flags: CK_FLAGS = CKF_SERIAL_SESSION | if write { CKF_RW_SESSION } else { 0 };
        let mut session = 0;
        let to = &raw mut session;
        // SAFETY: `session` is ours; no notification is asked for.
        let rv = self.call("C_OpenSession", |list| {
            list.C_OpenSession.map(|f| unsafe { f(slot, flags, ptr::null_mut(), None, to) })
        });
        one(rv, session)
    }

    /// `C_CloseSession`
    pub(in crate::verify) fn close_session(&mut self, session: u64) -> Reply {
        // SAFETY: takes numbers alone.
        let call = |list: &cryptoki_sys::CK_FUNCTION_LIST| {
            list.C_CloseSession.map(|f| unsafe { f(session) })
        };
        status(self.call("C_CloseSession", call))
    }

    /// `C_Login`; without PIN where the token asks for it on a pad of its own.
    pub(in crate::verify) fn login(
        &mut self,
        session: u64,
        user: CK_USER_TYPE,
        pin: Option<&[u8]>,
    ) -> Reply {
        let (pointer, bytes) = pin.map_or((ptr::null_mut(), 0), input);
        // SAFETY: the PIN outlives the call.
        status(self.call("C_Login", |list| {
            list.C_Login.map(|f| unsafe { f(session, user, pointer, bytes) })
        }))
    }

    /// `C_Logout`
    pub(in crate::verify) fn logout(&mut self, session: u64) -> Reply {
        // SAFETY: takes numbers alone.
        status(self.call("C_Logout", |list| list.C_Logout.map(|f| unsafe { f(session) })))
    }

    /// `C_InitPIN`
    pub(in crate::verify) fn init_pin(&mut self, session: u64, pin: &[u8]) -> Reply {
        let (pointer, bytes) = input(pin);
        // SAFETY: the PIN outlives the call.
        status(self.call("C_InitPIN", |list| {
            list.C_InitPIN.map(|f| unsafe { f(session, pointer, bytes) })
        }))
    }

    /// `C_GenerateRandom`
    pub(in crate::verify) fn random(&mut self, session: u64, bytes: usize) -> Reply {
        let mut random = vec![0; bytes.min(1024)];
        let (to, count) = (random.as_mut_ptr(), length(random.len()));
        // SAFETY: the buffer has room for `count`.
        let rv = self.call("C_GenerateRandom", |list| {
            list.C_GenerateRandom.map(|f| unsafe { f(session, to, count) })
        });
        Reply { rv, bytes: Some(crate::verify::wire::Bytes::new(random)), ..Reply::default() }
    }
}

fn version(version: CK_VERSION) -> String {
    format!("{}.{}", version.major, version.minor)
}

/// A padded text: the standard wants blanks, some modules write zero bytes, none is trusted to end
/// it. What cannot be shown is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes));
    text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_padded_by_blanks_or_zeros_or_garbage_are_read() {
        assert_eq!(text(b"audit-a   "), "audit-a");
        assert_eq!(text(b"SW   TPM\0\0\0\0"), "SW   TPM");
        assert_eq!(text(&[b'a', 0x1b, 0xff]), "a\u{fffd}\u{fffd}");
        assert_eq!(text(b""), "");
    }
}
