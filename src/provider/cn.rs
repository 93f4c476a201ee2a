//! The `CN_*` operations of `LiquidSecurity` HSMs, as AWS CloudHSM and Azure Cloud HSM log them.
