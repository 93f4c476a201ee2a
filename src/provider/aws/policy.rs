//! Who a policy document lets in.
