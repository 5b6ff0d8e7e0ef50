"""Constants of a TFLite file in fewer bytes."""

import collections

import numpy as np

# Below this many numbers, an operator more takes as many bytes as it saves.
_SMALLEST = 4096


def halve(content: bytes) -> bytes:
    """Keep a TFLite file's large float32 constants in float16; XNNPACK widens them as it loads.

    Dynamic-range quantization leaves in float32 what is added, as position tables are: for large
    images several per cent of the file.
    """
    from ai_edge_litert.tools import flatbuffer_utils as schema

    model = schema.read_model_from_bytearray(bytearray(content))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    model.operatorCodes.append(code)
    users = collections.Counter(t.buffer for graph in model.subgraphs for t in graph.tensors)
    for graph in model.subgraphs:
        for index, tensor in enumerate(list(graph.tensors)):
            buffer = model.buffers[tensor.buffer]
            if (
                tensor.type == schema.TensorType.FLOAT32
                and buffer.data is not None
                and len(buffer.data) >= 4 * _SMALLEST
                and users[tensor.buffer] == 1
            ):
                values = np.frombuffer(bytes(buffer.data), "float32").astype("float16")
                buffer.data = values.view("uint8")
                _widen(schema, graph, index, len(model.operatorCodes) - 1)
    return bytes(schema.convert_object_to_bytearray(model))


def _widen(schema, graph, index, code):
    """Make a tensor one of float16, and let the operators that took it take it in float32."""
    half = graph.tensors[index]
    wide = schema.TensorT()
    wide.name, wide.shape, wide.type = half.name + b"/wide", half.shape, half.type
    half.type = schema.TensorType.FLOAT16
    new = len(graph.tensors)
    graph.tensors.append(wide)
    for operator in graph.operators:
        operator.inputs = [new if number == index else number for number in operator.inputs]
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [index], [new]
    graph.operators.insert(0, operator)
