//! The few things of Python that a pickle of tensors names, and what a call of each gives.

use super::value::{Global, Ref, Storage, Value, View};
use crate::dump::tensor::DumpDtype;

/// What that name of that module is; none where tensors do not need it.
pub(super) fn global(module: &str, name: &str) -> Option<Global> {
    match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::Tensor),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Global::TypedTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::Parameter),
        ("torch", "Size") => Some(Global::Size),
        ("torch", "device") => Some(Global::Device),
        ("torch.storage", "UntypedStorage") | ("torch", "UntypedStorage") => Some(Global::Bytes),
        ("torch", name) => storage(name).map(Global::Storage).or_else(|| dtype(name).map(Global::Dtype)),
        _ => None,
    }
}

fn storage(name: &str) -> Option<DumpDtype> {
    Some(match name.strip_suffix("Storage")? {
        "Double" => DumpDtype::F64,
        "Float" => DumpDtype::F32,
        "Half" => DumpDtype::F16,
        "BFloat16" => DumpDtype::Bf16,
        "Long" => DumpDtype::I64,
        "Int" => DumpDtype::I32,
        "Short" => DumpDtype::I16,
        "Char" => DumpDtype::I8,
        "Byte" => DumpDtype::U8,
        "Bool" => DumpDtype::Bool,
        _ => return None,
    })
}

fn dtype(name: &str) -> Option<DumpDtype> {
    Some(match name {
        "float64" => DumpDtype::F64,
        "float32" => DumpDtype::F32,
        "float16" => DumpDtype::F16,
        "bfloat16" => DumpDtype::Bf16,
        "int64" => DumpDtype::I64,
        "int32" => DumpDtype::I32,
        "int16" => DumpDtype::I16,
        "int8" => DumpDtype::I8,
        "uint64" => DumpDtype::U64,
        "uint32" => DumpDtype::U32,
        "uint16" => DumpDtype::U16,
        "uint8" => DumpDtype::U8,
        "bool" => DumpDtype::Bool,
        _ => return None,
    })
}

/// What a call with these arguments gives.
pub(super) fn call(values: &[Value], global: Global, arguments: &[Ref]) -> Result<Value, String> {
    match (global, arguments) {
        (Global::OrderedDict, []) => Ok(Value::Map(Vec::new())),
        (Global::Size, [_]) => Ok(Value::Other("a size")),
        (Global::Device, _) => Ok(Value::Other("a device")),
        (Global::Parameter, [data, _, _]) => match &values[*data] {
            tensor @ Value::Tensor(_) => Ok(tensor.clone()),
            other => Err(format!("a parameter made of {}, expected a tensor", other.kind())),
        },
        (Global::Tensor, [storage, offset, shape, strides, _, _]) => {
            let storage = storage_of(&values[*storage])?;
            let dtype = storage.dtype.ok_or("a tensor without a dtype")?;
            tensor(values, storage, dtype, [*offset, *shape, *strides])
        }
        (Global::TypedTensor, [storage, offset, shape, strides, _, _, dtype]) => {
            let Value::Global(Global::Dtype(dtype)) = values[*dtype] else {
                return Err(format!("a tensor whose dtype is {}", values[*dtype].kind()));
            };
            tensor(values, storage_of(&values[*storage])?, dtype, [*offset, *shape, *strides])
        }
        _ => Err(format!("{global:?} called with {} arguments", arguments.len())),
    }
}

/// What a persistent id stands for: `('storage', torch.FloatStorage, '0', 'cpu', 24)`.
pub(super) fn persistent(values: &[Value], id: &[Ref]) -> Result<Value, String> {
    let [kind, class, key, _, elements] = id else {
        return Err(format!("a storage told by {} values, expected five", id.len()));
    };
    let (Value::Text(kind), Value::Text(key)) = (&values[*kind], &values[*key]) else {
        return Err("a storage without kind or key".to_owned());
    };
    let dtype = match values[*class] {
        Value::Global(Global::Storage(dtype)) => Some(dtype),
        Value::Global(Global::Bytes) => None,
        ref other => return Err(format!("a storage whose type is {}", other.kind())),
    };
    if kind != "storage" {
        return Err("a persistent value that is no storage".to_owned());
    }
    let elements = extent(&values[*elements])? as u64;
    let element_size = dtype.map_or(1, DumpDtype::size) as u64;
    Ok(Value::Storage(Storage { key: key.clone(), dtype, elements, element_size }))
}

fn storage_of(value: &Value) -> Result<&Storage, String> {
    match value {
        Value::Storage(storage) => Ok(storage),
        other => Err(format!("a tensor whose storage is {}", other.kind())),
    }
}

fn tensor(values: &[Value], storage: &Storage, dtype: DumpDtype, place: [Ref; 3]) -> Result<Value, String> {
    let [offset, shape, strides] = place;
    let offset = extent(&values[offset])?;
    let (shape, strides) = (extents(values, shape)?, extents(values, strides)?);
    if shape.len() != strides.len() {
        return Err(format!("a tensor of shape {shape:?} with the strides {strides:?}"));
    }
    Ok(Value::Tensor(View { storage: storage.clone(), dtype, offset, shape, strides }))
}

fn extents(values: &[Value], sequence: Ref) -> Result<Vec<usize>, String> {
    match &values[sequence] {
        Value::Sequence(items) => items.iter().map(|&item| extent(&values[item])).collect(),
        other => Err(format!("dimensions that are {}", other.kind())),
    }
}

fn extent(value: &Value) -> Result<usize, String> {
    let number = match value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        other => return Err(format!("{} for a number of elements", other.kind())),
    };
    number.ok_or_else(|| "a number of elements that is negative or too large".to_owned())
}
