//! The calls by name.

use super::Token;
use super::trouble::Trouble;
use crate::verify::wire::{
    Attribute, Bytes, Login, Mechanism, MechanismInfo, Operation, Reply, Request, Value,
};

impl Token<'_> {
    /// Opens a session; checks use sessions of their own, since a failed operation stays active.
    pub(in crate::verify) fn open(&mut self, write: bool) -> Result<u64, Trouble> {
        let slot = self.slot;
        let reply = self.ask(&Request::OpenSession { slot, write })?;
        number(&reply, 0, "C_OpenSession")
    }

    pub(in crate::verify) fn close(&mut self, session: u64) -> Result<(), Trouble> {
        self.ask(&Request::CloseSession { session }).map(drop)
    }

    pub(in crate::verify) fn login_as(
        &mut self,
        session: u64,
        login: Login,
    ) -> Result<(), Trouble> {
        self.ask(&Request::Login { session, login }).map(drop)
    }

    /// All mechanisms with what is known of them.
    pub(in crate::verify) fn mechanisms(&mut self) -> Result<Vec<MechanismInfo>, Trouble> {
        let slot = self.slot;
        let kinds = self.ask(&Request::Mechanisms { slot })?.numbers;
        let known = self.ask(&Request::MechanismInfo { slot, kinds: kinds.clone() })?.mechanisms;
        let of = |kind: u64| known.iter().find(|info| info.kind == kind).copied();
        Ok(kinds
            .into_iter()
            .map(|kind| of(kind).unwrap_or(MechanismInfo { kind, ..MechanismInfo::default() }))
            .collect())
    }

    pub(in crate::verify) fn find_objects(
        &mut self,
        session: u64,
        template: Vec<Attribute>,
    ) -> Result<Vec<u64>, Trouble> {
        let most = self.access.limits.objects;
        Ok(self.ask(&Request::Find { session, template, most })?.numbers)
    }

    /// Attributes of several objects, in the order asked for.
    pub(in crate::verify) fn read(
        &mut self,
        session: u64,
        objects: &[u64],
        kinds: &[u64],
    ) -> Result<Vec<Vec<Value>>, Trouble> {
        let request =
            Request::Attributes { session, objects: objects.to_vec(), kinds: kinds.to_vec() };
        // That an object is gone is a state of its attributes here.
        let reply = match self.ask(&request) {
            Err(Trouble::Refused { rv, .. }) => {
                return Ok(vec![vec![Value::Error { rv }; kinds.len()]; objects.len()]);
            }
            reply => reply?,
        };
        Ok(reply.values)
    }

    /// One attribute of one object.
    pub(in crate::verify) fn read_one(
        &mut self,
        session: u64,
        object: u64,
        kind: u64,
    ) -> Result<Value, Trouble> {
        let values = self.read(session, &[object], &[kind])?;
        let value = values.into_iter().flatten().next();
        value.ok_or_else(|| broken("C_GetAttributeValue", "it gave no value"))
    }

    pub(in crate::verify) fn set(
        &mut self,
        session: u64,
        object: u64,
        template: Vec<Attribute>,
    ) -> Result<(), Trouble> {
        self.ask(&Request::SetAttributes { session, object, template }).map(drop)
    }

    pub(in crate::verify) fn create(
        &mut self,
        session: u64,
        template: Vec<Attribute>,
    ) -> Result<u64, Trouble> {
        let label = label_of(&template);
        let reply = self.ask(&Request::Create { session, template })?;
        self.made(&reply, 0, "C_CreateObject", label)
    }

    pub(in crate::verify) fn copy(
        &mut self,
        session: u64,
        object: u64,
        template: Vec<Attribute>,
    ) -> Result<u64, Trouble> {
        let label = label_of(&template);
        let reply = self.ask(&Request::Copy { session, object, template })?;
        self.made(&reply, 0, "C_CopyObject", label)
    }

    pub(in crate::verify) fn destroy(&mut self, session: u64, object: u64) -> Result<(), Trouble> {
        self.ask(&Request::Destroy { session, object }).map(drop)
    }

    pub(in crate::verify) fn generate(
        &mut self,
        session: u64,
        mechanism: Mechanism,
        template: Vec<Attribute>,
    ) -> Result<u64, Trouble> {
        let label = label_of(&template);
        let reply = self.ask(&Request::Generate { session, mechanism, template })?;
        self.made(&reply, 0, "C_GenerateKey", label)
    }

    /// A key pair: the public key's handle and the private key's.
    pub(in crate::verify) fn generate_pair(
        &mut self,
        session: u64,
        mechanism: Mechanism,
        public: Vec<Attribute>,
        private: Vec<Attribute>,
    ) -> Result<(u64, u64), Trouble> {
        let label = label_of(&private);
        let reply = self.ask(&Request::GeneratePair { session, mechanism, public, private })?;
        let first = self.made(&reply, 0, "C_GenerateKeyPair", label.clone())?;
        Ok((first, self.made(&reply, 1, "C_GenerateKeyPair", label)?))
    }

    pub(in crate::verify) fn begin(
        &mut self,
        session: u64,
        operation: Operation,
        mechanism: Mechanism,
        key: u64,
    ) -> Result<(), Trouble> {
        self.ask(&Request::Begin { session, operation, mechanism, key }).map(drop)
    }

    /// Ends an operation; gives its output and, where the token chose it, the vector that it used.
    pub(in crate::verify) fn perform(
        &mut self,
        session: u64,
        operation: Operation,
        data: &[u8],
    ) -> Result<(Bytes, Option<Bytes>), Trouble> {
        let reply = self.ask(&Request::Perform { session, operation, data: data.into() })?;
        let iv = reply.iv.clone();
        Ok((output(reply, operation.perform())?, iv))
    }

    /// Begins and ends an operation.
    pub(in crate::verify) fn work(
        &mut self,
        session: u64,
        operation: Operation,
        (mechanism, key): (Mechanism, u64),
        data: &[u8],
    ) -> Result<Bytes, Trouble> {
        self.begin(session, operation, mechanism, key)?;
        Ok(self.perform(session, operation, data)?.0)
    }

    pub(in crate::verify) fn wrap(
        &mut self,
        session: u64,
        mechanism: Mechanism,
        by: u64,
        key: u64,
    ) -> Result<Bytes, Trouble> {
        let reply = self.ask(&Request::Wrap { session, mechanism, by, key })?;
        output(reply, "C_WrapKey")
    }

    pub(in crate::verify) fn unwrap(
        &mut self,
        session: u64,
        (mechanism, by): (Mechanism, u64),
        wrapped: &[u8],
        template: Vec<Attribute>,
    ) -> Result<u64, Trouble> {
        let label = label_of(&template);
        let wrapped = wrapped.into();
        let reply = self.ask(&Request::Unwrap { session, mechanism, by, wrapped, template })?;
        self.made(&reply, 0, "C_UnwrapKey", label)
    }

    /// Takes the handle of a new object, and remembers what it is called. The call that made it was
    /// written down before its label was known.
    fn made(
        &mut self,
        reply: &Reply,
        at: usize,
        function: &str,
        label: Option<String>,
    ) -> Result<u64, Trouble> {
        let handle = number(reply, at, function)?;
        if let Some(label) = label {
            if let Some(call) = self.calls.iter_mut().rev().find(|call| call.function == function) {
                call.key = Some(label.clone());
            }
            self.labels.insert(handle, label);
        }
        Ok(handle)
    }
}

fn number(reply: &Reply, at: usize, function: &str) -> Result<u64, Trouble> {
    let number = reply.numbers.get(at).copied();
    number.ok_or_else(|| broken(function, "it gave no handle"))
}

fn output(reply: Reply, function: &str) -> Result<Bytes, Trouble> {
    reply.bytes.ok_or_else(|| broken(function, "it gave no output"))
}

fn broken(function: &str, what: &str) -> Trouble {
    Trouble::Broken { function: function.to_owned(), what: what.to_owned() }
}

/// The label that a template gives.
fn label_of(template: &[Attribute]) -> Option<String> {
    let label = template.iter().find(|attribute| attribute.kind == cryptoki_sys::CKA_LABEL)?;
    String::from_utf8(label.value.0.to_vec()).ok()
}

/// The mechanism and the key that a request is about.
pub(super) fn about(request: &Request) -> (Option<u64>, Option<u64>) {
    match request {
        Request::Begin { mechanism, key, .. } | Request::Wrap { mechanism, key, .. } => {
            (Some(mechanism.kind), Some(*key))
        }
        Request::Unwrap { mechanism, by, .. } => (Some(mechanism.kind), Some(*by)),
        Request::Generate { mechanism, .. } | Request::GeneratePair { mechanism, .. } => {
            (Some(mechanism.kind), None)
        }
        Request::SetAttributes { object, .. }
        | Request::Copy { object, .. }
        | Request::Destroy { object, .. } => (None, Some(*object)),
        Request::Attributes { objects, .. } => match objects.as_slice() {
            [object] => (None, Some(*object)),
            _ => (None, None),
        },
        _ => (None, None),
    }
}
