"""A function of the http signature."""


def hello(request):
    """Greets whom the path or ?name= names. request is as in Flask; text, bytes, dicts and (body, status, headers) can be returned."""
    name = request.args.get("name") or request.path.strip("/") or "World"
    return "Hello, %s!\n" % name
