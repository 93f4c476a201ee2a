//! Objects and their attributes. An attribute has more states than a value: kept secret, unknown to
//! the object, unavailable; a module tells them apart by return value and length.

use std::collections::BTreeSet;
use std::ptr;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_RV, CK_ULONG, CKA_ALLOWED_MECHANISMS, CKF_ARRAY_ATTRIBUTE,
    CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK,
};

use super::{MOST_OUTPUT, Module, fault, length, one, status, template};
use crate::verify::wire::{Attribute, Reply, Value};

/// What a module writes as length where there is no value.
const UNAVAILABLE: CK_ULONG = CK_ULONG::MAX;
/// Room for an attribute in the first call: names, ids, numbers, most moduli.
const ROOM: usize = 1024;
/// How many handles are asked for at a time.
const HANDLES: usize = 512;

impl Module {
    /// Searches, and ends the search whatever happens.
    pub(in crate::verify) fn find(
        &mut self,
        session: u64,
        attributes: &[Attribute],
        most: usize,
    ) -> Reply {
        let mut wanted = template(attributes);
        let (to, count) = (wanted.as_mut_ptr(), length(wanted.len()));
        // SAFETY: the template and what it points to outlive the call.
        let rv = self.call("C_FindObjectsInit", |list| {
            list.C_FindObjectsInit.map(|f| unsafe { f(session, to, count) })
        });
        if rv != CKR_OK {
            return status(rv);
        }
        let found = self.found(session, most);
        // SAFETY: takes numbers alone.
        let rv = self.call("C_FindObjectsFinal", |list| {
            list.C_FindObjectsFinal.map(|f| unsafe { f(session) })
        });
        if found.rv == CKR_OK { Reply { rv, ..found } } else { found }
    }

    fn found(&mut self, session: u64, most: usize) -> Reply {
        let mut numbers = Vec::new();
        let mut seen = BTreeSet::new();
        while numbers.len() < most {
            let mut page = vec![0; HANDLES.min(most - numbers.len())];
            let mut count: CK_ULONG = 0;
            let (to, room, filled) = (page.as_mut_ptr(), length(page.len()), &raw mut count);
            // SAFETY: `page` has that much room.
            let rv = self.call("C_FindObjects", |list| {
                list.C_FindObjects.map(|f| unsafe { f(session, to, room, filled) })
            });
            if rv != CKR_OK {
                return status(rv);
            }
            let filled = usize::try_from(count).unwrap_or(usize::MAX);
            if filled > page.len() {
                return fault(format!("C_FindObjects counts {count} in room for {room}"));
            }
            page.truncate(filled);
            if page.is_empty() {
                break;
            }
            // A search that repeats itself never ends.
            if !page.iter().all(|handle| seen.insert(*handle)) {
                return fault("C_FindObjects gives an object twice");
            }
            numbers.extend(page);
        }
        Reply { numbers, ..Reply::default() }
    }

    /// Reads attributes of many objects.
    pub(in crate::verify) fn attributes(
        &mut self,
        session: u64,
        objects: &[u64],
        kinds: &[CK_ATTRIBUTE_TYPE],
    ) -> Reply {
        let mut reply = Reply::default();
        for object in objects {
            let (rv, values) = self.attributes_of(session, *object, kinds);
            if rv != CKR_OK {
                reply.rv = rv;
            }
            reply.values.push(values);
        }
        reply
    }

    /// One call for all, and one more for each whose state that call left open.
    fn attributes_of(
        &mut self,
        session: u64,
        object: u64,
        kinds: &[CK_ATTRIBUTE_TYPE],
    ) -> (CK_RV, Vec<Value>) {
        let mut buffers = vec![vec![0_u8; ROOM]; kinds.len()];
        let mut wanted: Vec<CK_ATTRIBUTE> =
            kinds.iter().zip(&mut buffers).map(|(kind, buffer)| slot_for(*kind, buffer)).collect();
        let rv = self.get(session, object, &mut wanted);
        // Of an object that is gone nothing more can be learnt.
        let states = [CKR_OK, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID];
        let gone =
            [cryptoki_sys::CKR_OBJECT_HANDLE_INVALID, cryptoki_sys::CKR_SESSION_HANDLE_INVALID];
        let mut values = Vec::with_capacity(kinds.len());
        for (attribute, buffer) in wanted.iter().zip(&buffers) {
            let filled = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX);
            let value = buffer.get(..filled);
            values.push(match value {
                _ if gone.contains(&rv) => Value::Error { rv },
                // Room left over shows that the module filled it in.
                Some(bytes)
                    if filled < ROOM
                        && !is_template(attribute.type_)
                        && (rv == CKR_OK || states.contains(&rv)) =>
                {
                    Value::Is { value: bytes.into() }
                }
                _ => self.single(session, object, attribute.type_),
            });
        }
        (if states.contains(&rv) { CKR_OK } else { rv }, values)
    }

    /// Asks for one attribute alone: its length, then its value.
    fn single(&mut self, session: u64, object: u64, kind: CK_ATTRIBUTE_TYPE) -> Value {
        let mut wanted = [CK_ATTRIBUTE { type_: kind, pValue: ptr::null_mut(), ulValueLen: 0 }];
        let rv = self.get(session, object, &mut wanted);
        let bytes = wanted.first().map_or(UNAVAILABLE, |attribute| attribute.ulValueLen);
        match rv {
            CKR_ATTRIBUTE_SENSITIVE => return Value::Sensitive,
            CKR_ATTRIBUTE_TYPE_INVALID => return Value::Invalid,
            CKR_OK if bytes == UNAVAILABLE => return Value::Unavailable,
            CKR_OK if is_template(kind) => return Value::Template { bytes },
            CKR_OK => {}
            rv => return Value::Error { rv },
        }
        let Some(room) = usize::try_from(bytes).ok().filter(|room| *room <= MOST_OUTPUT) else {
            return Value::Overlong { length: bytes };
        };
        let mut buffer = vec![0_u8; room];
        let mut wanted = [slot_for(kind, &mut buffer)];
        let rv = self.get(session, object, &mut wanted);
        let bytes = wanted.first().map_or(UNAVAILABLE, |attribute| attribute.ulValueLen);
        match rv {
            CKR_OK if bytes == UNAVAILABLE => Value::Unavailable,
            CKR_OK => match usize::try_from(bytes).ok().and_then(|end| buffer.get(..end)) {
                Some(value) => Value::Is { value: value.into() },
                None => Value::Overlong { length: bytes },
            },
            CKR_ATTRIBUTE_SENSITIVE => Value::Sensitive,
            rv => Value::Error { rv },
        }
    }

    fn get(&mut self, session: u64, object: u64, wanted: &mut [CK_ATTRIBUTE]) -> CK_RV {
        let (to, count) = (wanted.as_mut_ptr(), length(wanted.len()));
        // SAFETY: each attribute has the room that it names.
        self.call("C_GetAttributeValue", |list| {
            list.C_GetAttributeValue.map(|f| unsafe { f(session, object, to, count) })
        })
    }

    /// `C_SetAttributeValue`
    pub(in crate::verify) fn set(
        &mut self,
        session: u64,
        object: u64,
        attributes: &[Attribute],
    ) -> Reply {
        let mut wanted = template(attributes);
        let (to, count) = (wanted.as_mut_ptr(), length(wanted.len()));
        // SAFETY: the template and what it points to outlive the call.
        status(self.call("C_SetAttributeValue", |list| {
            list.C_SetAttributeValue.map(|f| unsafe { f(session, object, to, count) })
        }))
    }

    /// `C_CreateObject`
    pub(in crate::verify) fn create(&mut self, session: u64, attributes: &[Attribute]) -> Reply {
        let mut wanted = template(attributes);
        let (to, count) = (wanted.as_mut_ptr(), length(wanted.len()));
        let mut object = 0;
        let result = &raw mut object;
        // SAFETY: the template and what it points to outlive the call.
        let rv = self.call("C_CreateObject", |list| {
            list.C_CreateObject.map(|f| unsafe { f(session, to, count, result) })
        });
        one(rv, object)
    }

    /// `C_CopyObject`
    pub(in crate::verify) fn copy(
        &mut self,
        session: u64,
        object: u64,
        attributes: &[Attribute],
    ) -> Reply {
        let mut wanted = template(attributes);
        let (to, count) = (wanted.as_mut_ptr(), length(wanted.len()));
        let mut copy = 0;
        let result = &raw mut copy;
        // SAFETY: the template and what it points to outlive the call.
        let rv = self.call("C_CopyObject", |list| {
            list.C_CopyObject.map(|f| unsafe { f(session, object, to, count, result) })
        });
        one(rv, copy)
    }

    /// `C_DestroyObject`
    pub(in crate::verify) fn destroy(&mut self, session: u64, object: u64) -> Reply {
        // SAFETY: takes numbers alone.
        status(self.call("C_DestroyObject", |list| {
            list.C_DestroyObject.map(|f| unsafe { f(session, object) })
        }))
    }
}

/// Whether an attribute is itself a template, whose parts hold pointers.
fn is_template(kind: CK_ATTRIBUTE_TYPE) -> bool {
    kind & CKF_ARRAY_ATTRIBUTE != 0 && kind != CKA_ALLOWED_MECHANISMS
}

fn slot_for(kind: CK_ATTRIBUTE_TYPE, buffer: &mut [u8]) -> CK_ATTRIBUTE {
    if is_template(kind) {
        return CK_ATTRIBUTE { type_: kind, pValue: ptr::null_mut(), ulValueLen: 0 };
    }
    CK_ATTRIBUTE {
        type_: kind,
        pValue: buffer.as_mut_ptr().cast(),
        ulValueLen: length(buffer.len()),
    }
}
