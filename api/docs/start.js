// A file of its own, so that the page's Content-Security-Policy needs no inline script.
SwaggerUIBundle({
	url: "/openapi.json",
	dom_id: "#ui",
	deepLinking: true,
	tryItOutEnabled: true,
	persistAuthorization: false,
	validatorUrl: null
});
