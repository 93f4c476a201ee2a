//! The only code that touches a PKCS #11 module, and the only unsafe code: it runs in the worker,
//! where a module may crash without harm. Buffers are ours and large enough, what a module gives back as
//! length or count is checked before it is believed, every call is noted with its return value.
//!
//! Safety rests on what the standard asks of a module: that it writes no further than the length
//! that it was told. One that does not is ended by the kernel or answers nonsense; the parent
//! expects both.

mod attributes;
mod information;
mod native;
mod operation;

use std::ffi::CString;
use std::ptr;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_RV, CK_ULONG, CKF_OS_LOCKING_OK,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_GENERAL_ERROR, CKR_OK, Pkcs11,
};

use super::wire::{Attribute, Made, Reply};

/// The longest output or attribute that is believed.
const MOST_OUTPUT: usize = 1 << 20;

/// A loaded module.
pub(super) struct Module {
    functions: CK_FUNCTION_LIST,
    /// The version of the default interface of a module of version 3.
    interface: Option<String>,
    /// The calls since [`Module::take_made`].
    made: Vec<Made>,
    /// The parameter of the operation under way, which some modules read or write until its end.
    held: Option<native::Native>,
}

impl Module {
    /// Opens a library and takes its list of functions. It stays open until the process ends.
    pub(super) fn load(path: &str) -> Result<(Self, Reply), String> {
        // SAFETY: running the library's initialisers is the purpose of this process.
        let library = unsafe { Pkcs11::new(path) }.map_err(|error| error.to_string())?;
        // Closing it would run code of the module once more, for nothing.
        let library: &'static Pkcs11 = Box::leak(Box::new(library));
        let get = library.C_GetFunctionList.as_ref().map_err(ToString::to_string)?;
        let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: `list` is ours.
        let rv = unsafe { get(&raw mut list) };
        let mut reply = Reply { rv, ..Reply::default() };
        if rv == CKR_OK && list.is_null() {
            return Err("C_GetFunctionList gave no list".to_owned());
        }
        let functions = if rv == CKR_OK {
            // SAFETY: the module says that a list is there.
            unsafe { *list }
        } else {
            CK_FUNCTION_LIST::default()
        };
        let mut module = Self { functions, interface: None, made: Vec::new(), held: None };
        module.note("C_GetFunctionList", rv);
        module.interface = module.interface_of(library);
        reply.made = module.take_made();
        Ok((module, reply))
    }

    fn note(&mut self, function: &str, rv: CK_RV) -> CK_RV {
        self.made.push(Made { function: function.to_owned(), rv });
        rv
    }

    /// The calls made since the last time.
    pub(super) fn take_made(&mut self) -> Vec<Made> {
        std::mem::take(&mut self.made)
    }

    /// Calls one function of the list, or answers that there is none.
    fn call(
        &mut self,
        name: &str,
        function: impl FnOnce(&CK_FUNCTION_LIST) -> Option<CK_RV>,
    ) -> CK_RV {
        let rv = function(&self.functions).unwrap_or(CKR_FUNCTION_NOT_SUPPORTED);
        self.note(name, rv)
    }

    /// `C_Initialize`, telling that threads may be used.
    pub(super) fn initialize(&mut self, reserved: Option<&str>) -> Reply {
        let Ok(reserved) = reserved.map(CString::new).transpose() else {
            return fault("the argument of initialisation holds a zero byte");
        };
        // The module may read it until its end.
        let reserved = reserved.map_or(ptr::null_mut(), |text| text.into_raw().cast());
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: reserved,
            ..CK_C_INITIALIZE_ARGS::default()
        };
        let pointer = (&raw mut arguments).cast();
        // SAFETY: the arguments outlive the call.
        status(self.call("C_Initialize", |list| list.C_Initialize.map(|f| unsafe { f(pointer) })))
    }

    /// `C_Finalize`
    pub(super) fn finalize(&mut self) -> Reply {
        // SAFETY: the standard asks for a null pointer.
        let call = |list: &CK_FUNCTION_LIST| list.C_Finalize.map(|f| unsafe { f(ptr::null_mut()) });
        status(self.call("C_Finalize", call))
    }
}

/// A reply that is a return value alone.
fn status(rv: CK_RV) -> Reply {
    Reply { rv, ..Reply::default() }
}

/// A reply with one number in case of success.
fn one(rv: CK_RV, number: CK_ULONG) -> Reply {
    let numbers = if rv == CKR_OK { vec![number] } else { Vec::new() };
    Reply { rv, numbers, ..Reply::default() }
}

/// A reply that says what a module, or the parent, did wrong.
pub(super) fn fault(what: impl Into<String>) -> Reply {
    Reply { rv: CKR_GENERAL_ERROR, fault: Some(what.into()), ..Reply::default() }
}

fn length(bytes: usize) -> CK_ULONG {
    CK_ULONG::try_from(bytes).unwrap_or(CK_ULONG::MAX)
}

/// The same template as a module takes it; it points into `attributes`.
fn template(attributes: &[Attribute]) -> Vec<CK_ATTRIBUTE> {
    let native = |attribute: &Attribute| CK_ATTRIBUTE {
        type_: attribute.kind,
        pValue: attribute.value.0.as_ptr().cast_mut().cast(),
        ulValueLen: length(attribute.value.0.len()),
    };
    attributes.iter().map(native).collect()
}

/// A byte string as a module takes it.
fn input(bytes: &[u8]) -> (*mut u8, CK_ULONG) {
    (bytes.as_ptr().cast_mut(), length(bytes.len()))
}
