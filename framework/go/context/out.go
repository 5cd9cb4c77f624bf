package context

// Out is what an OpenFunction function returns.
type Out interface {
	GetOut() *FunctionOut
	// GetCode is an HTTP status. It also decides what the broker of an event is told.
	GetCode() int
	GetData() []byte
	// GetMetadata may hold "retry": "true" asks the broker of a failed topic event to deliver it again.
	GetMetadata() map[string]string
	WithCode(code int) *FunctionOut
	WithData(data []byte) *FunctionOut
}

// FunctionOut is the only Out.
type FunctionOut struct {
	// Code 0 means 200, or 500 when the function returned an error.
	Code     int               `json:"code"`
	Data     []byte            `json:"data,omitempty"`
	Error    error             `json:"error,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// NewFunctionOut returns an empty result.
func NewFunctionOut() *FunctionOut { return &FunctionOut{Metadata: map[string]string{}} }

// GetOut returns o.
func (o *FunctionOut) GetOut() *FunctionOut { return o }

// GetCode is the code as the function set it.
func (o *FunctionOut) GetCode() int { return o.Code }

// GetData is the body of the answer.
func (o *FunctionOut) GetData() []byte { return o.Data }

// GetMetadata may be nil when the function made the result by hand.
func (o *FunctionOut) GetMetadata() map[string]string { return o.Metadata }

// WithCode sets the code and returns o.
func (o *FunctionOut) WithCode(code int) *FunctionOut {
	o.Code = code
	return o
}

// WithData sets the body and returns o.
func (o *FunctionOut) WithData(data []byte) *FunctionOut {
	o.Data = data
	return o
}
