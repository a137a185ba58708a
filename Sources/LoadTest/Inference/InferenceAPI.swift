/// The dialect of a model server.
package enum InferenceAPI: String, Sendable, CaseIterable {
    /// Any HTTP.
    case raw
    /// Azure Machine Learning online endpoints: `POST /score`.
    case azureml
    /// KServe V2, also Triton and MLServer: `POST /v2/models/NAME/infer`.
    case kserve
    /// OpenAI chat completions, streamed.
    case openAIChat = "openai-chat"
    /// OpenAI completions, streamed.
    case openAICompletions = "openai-completions"
    /// OpenAI embeddings.
    case openAIEmbeddings = "openai-embeddings"

    /// Whether answers are streams of server-sent events.
    package var isStreaming: Bool { self == .openAIChat || self == .openAICompletions }

    /// The path of a URL that has none.
    package func path(model: String) -> String? {
        switch self {
        case .raw: nil
        case .azureml: "/score"
        case .kserve: "/v2/models/\(model)/infer"
        case .openAIChat: "/v1/chat/completions"
        case .openAICompletions: "/v1/completions"
        case .openAIEmbeddings: "/v1/embeddings"
        }
    }

    /// The body where none is given: a small question in this dialect.
    ///
    /// - Parameters:
    ///   - model: The model's name.
    ///   - prompt: What a language model is asked.
    ///   - maximumTokens: How long an answer may be.
    /// - Returns: JSON; nil in no dialect.
    package func body(model: String, prompt: String, maximumTokens: Int) -> String? {
        let model = Self.escaped(model)
        let prompt = Self.escaped(prompt)
        return switch self {
        case .raw: nil
        case .azureml: #"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#
        case .kserve:
            #"{"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}"#
        case .openAIChat:
            #"{"model": "\#(model)", "messages": [{"role": "user", "content": "\#(prompt)"}], "#
                + #""max_tokens": \#(maximumTokens), "stream": true, "#
                + #""stream_options": {"include_usage": true}}"#
        case .openAICompletions:
            #"{"model": "\#(model)", "prompt": "\#(prompt)", "max_tokens": \#(maximumTokens), "#
                + #""stream": true, "stream_options": {"include_usage": true}}"#
        case .openAIEmbeddings: #"{"model": "\#(model)", "input": "\#(prompt)"}"#
        }
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": escaped += "\\\(scalar)"
            case "\n": escaped += "\\n"
            case _ where scalar.value < 0x20: escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
