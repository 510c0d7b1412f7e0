impl crate::KernelBackend for burn::backend::Flex {}
